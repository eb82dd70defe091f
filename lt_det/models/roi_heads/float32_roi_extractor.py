"""SingleRoIExtractor that chooses levels and samples in float32 under mixed precision too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...compat.ops.precision import wide
from ...compat.ops.roi_align import average, average_backward, finite
from ...errors import BadInputError
from ..layers.class_indexed_conv import traced

_AT_ONCE = 2**25  # values that a map of half precision has in float32 at a time, 128 MiB


@MODELS.register_module()
class Float32RoIExtractor(SingleRoIExtractor):
    """SingleRoIExtractor whose RoIs keep their precision; the same results in float32.

    MMDetection casts RoIs to the type of the features. In float16 the area of a RoI overflows from
    256 x 256 pixels on, which sends those up to 448 pixels to P5, where prediction in float32 looks
    for them on P4; in bfloat16 coordinates from 1024 on are off by up to 4 pixels.

    All levels are one operation of autograd, sampled by torchvision. Of a map in half precision at
    most 128 MiB are in float32 at a time, some of its channels, and so of its gradient; the device
    is waited for once, for the numbers of RoIs of the levels. This is so for layers of type
    RoIAlign that average; any other, and a graph that is traced, samples copies of the maps in
    float32.
    """

    def forward(
        self, feats: tuple[Tensor], rois: Tensor, roi_scale_factor: float | None = None
    ) -> Tensor:
        """Features (R, D, h, w) of RoIs (R, 5), in the type of the maps, each (B, D, H_i, W_i).

        Raises:
            BadInputError: There are more maps than strides.
        """
        dtype = torch.promote_types(feats[0].dtype, torch.float32)
        layers = self.roi_layers[: len(feats)]
        if len(feats) > len(layers):
            raise BadInputError(
                f'{len(feats)} feature maps came to a RoI extractor whose featmap_strides has '
                f'{len(layers)} values; expected one for each map'
            )
        averages = all(type(layer) is RoIAlign and layer.pool_mode == 'avg' for layer in layers)
        if traced() or not averages:
            copies = tuple(feat.to(dtype) for feat in feats)
            return super().forward(copies, rois, roi_scale_factor).to(feats[0].dtype)
        rois = rois.to(dtype)
        if len(feats) == 1:
            chosen = (torch.arange(len(rois), device=rois.device),)
            return _Sampled.apply(layers, finite(rois), chosen, *feats)
        levels = self.map_roi_levels(rois, len(feats))
        area = (rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])
        levels = levels.where(area >= 0, len(feats))  # of no level, so 0: inside out, no number
        numbers = levels == torch.arange(len(feats) + 1, device=rois.device)[:, None]
        chosen = levels.argsort(stable=True).split(numbers.sum(1).tolist())[:-1]
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        return _Sampled.apply(layers, finite(rois), chosen, *feats)


class _Sampled(torch.autograd.Function):
    """Features (R, D, h, w) of RoIs, each from the map of its level."""

    @staticmethod
    def forward(
        ctx, layers: Sequence[RoIAlign], rois: Tensor, chosen: Sequence[Tensor], *maps: Tensor
    ) -> Tensor:
        """Samples.

        Args:
            layers: One for each map.
            rois: (R, 5), finite, of float32 or float64.
            chosen: Indexes of the RoIs of each map; those of none get 0.
            maps: (B, D, H_i, W_i) each.
        """
        ctx.layers, ctx.shapes = layers, [level.shape for level in maps]
        ctx.save_for_backward(rois, *chosen)
        pooled = maps[0].new_zeros(len(rois), maps[0].shape[1], *layers[0].output_size)
        for layer, level, numbers in zip(layers, maps, chosen):
            if len(numbers):
                pooled[numbers] = _pool(layer, level, rois[numbers])
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple:
        """Gradients of the maps, in the type of that of the features."""
        rois, *chosen = ctx.saved_tensors
        gradients: list[Tensor | None] = []
        for layer, shape, numbers, needed in zip(
            ctx.layers, ctx.shapes, chosen, ctx.needs_input_grad[3:]
        ):
            if not needed:
                gradients.append(None)
            elif len(numbers):
                gradients.append(_pool_backward(layer, shape, gradient, rois, numbers))
            else:  # zeros, so that every parameter has a gradient
                gradients.append(gradient.new_zeros(()).expand(shape))
        return None, None, None, *gradients


def _pool(layer: RoIAlign, level: Tensor, rois: Tensor) -> Tensor:
    """Features (R, D, h, w) of RoIs (R, 5) in a map (B, D, H, W)."""
    size = layer.output_size

    def of_channels(part: slice) -> Tensor:
        return average(
            *wide(level[:, part]),
            rois,
            size,
            layer.spatial_scale,
            layer.sampling_ratio,
            layer.aligned,
        )

    return _in_parts(of_channels, level.shape, level, (len(rois), level.shape[1], *size))


def _pool_backward(
    layer: RoIAlign, shape: Sequence[int], gradient: Tensor, rois: Tensor, numbers: Tensor
) -> Tensor:
    """Gradient of a map of a shape (B, D, H, W), of that (R, D, h, w) of the features of RoIs.

    Args:
        layer: Of the map.
        shape: Of the map.
        gradient: Of all RoIs.
        rois: (R, 5), all.
        numbers: Indexes of those of the map.
    """
    regions = rois[numbers]

    def of_channels(part: slice) -> Tensor:
        return average_backward(
            *wide(gradient[:, part][numbers]),
            regions,
            (shape[0], part.stop - part.start, *shape[2:]),
            layer.spatial_scale,
            layer.sampling_ratio,
            layer.aligned,
        )

    return _in_parts(of_channels, shape, gradient, shape)


def _in_parts(
    of_channels: Callable[[slice], Tensor],
    map_shape: Sequence[int],
    like: Tensor,
    shape: Sequence[int],
) -> Tensor:
    """What is computed in float32 at least for the channels of a map, in the type that is asked.

    Args:
        of_channels: From some channels to a tensor of these.
        map_shape: B, D, H, W of the map.
        like: Has the type.
        shape: Of the result, which has D channels as its second dimension.
    """
    batch, channels, height, width = map_shape
    step = channels
    if like.dtype.itemsize < torch.float32.itemsize:
        step = max(_AT_ONCE // (batch * height * width), 1)
    if step >= channels:
        return of_channels(slice(0, channels)).to(like.dtype)
    result = like.new_empty(shape)
    for first in range(0, channels, step):
        part = slice(first, min(first + step, channels))
        result[:, part] = of_channels(part)
    return result
