"""torchvision's kernels under mmcv's op names, for an mmcv that was installed without compiled ops.

A plain ``pip install onedl-mmcv`` has no ``mmcv._ext``, and ``import mmdet.models`` fails. Mask
R-CNN needs two ops, NMS and RoIAlign, and torchvision ships both for CPU and CUDA with the same
semantics. ``import lt_det`` arranges that :class:`Ops` is ``mmcv._ext`` where there is none.
"""

from collections.abc import Callable
from types import ModuleType

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

_REMEDY = (
    'build mmcv from source with MMCV_WITH_OPS=1 (compiler and CUDA must match those of torch), '
    'or use a model without this op'
)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that greedy NMS keeps, best score first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: Boxes that overlap a kept one by more than this are removed.
        offset: Must be 0; 1 (widths counted as x2 - x1 + 1) has no counterpart in torchvision.
    """
    if offset != 0:
        raise NotImplementedError(f'nms with offset={offset} needs the compiled op: {_REMEDY}')
    return torch.ops.torchvision.nms(*_wide(boxes, scores), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign of ``input`` (B, D, H, W) at ``rois`` (R, 5) into ``output`` (R, D, h, w)."""
    _check_average(pool_mode)
    pooled = torch.ops.torchvision.roi_align(
        *_wide(input, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward`, written into ``grad_input`` (B, D, H, W)."""
    _check_average(pool_mode)
    gradient = torch.ops.torchvision._roi_align_backward(
        *_wide(grad_output, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(gradient)


def _wide(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider of their types, at least float32: bfloat16 has no kernel in torchvision."""
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)


def _check_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            f"roi_align with pool_mode='max' needs the compiled op: {_REMEDY}"
        )


def _not_compiled() -> str:
    return "mmcv has no compiled ops; NMS and RoIAlign are torchvision's"


class Ops(ModuleType):
    """Stands for ``mmcv._ext``: an op that is not here raises when called, not on import."""

    def __init__(self) -> None:
        super().__init__('mmcv._ext', __doc__)
        for op in (nms, roi_align_forward, roi_align_backward):
            setattr(self, op.__name__, op)
        self.get_compiler_version = self.get_compiling_cuda_version = _not_compiled

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(f'mmcv op `{name}` is not compiled: {_REMEDY}')

        return missing
