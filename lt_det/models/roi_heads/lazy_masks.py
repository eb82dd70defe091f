"""Instance masks that are pasted into the image when they are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from torch import Tensor
from torch.utils._pytree import tree_map

# Pasting on a GPU samples whole images in float32 with two coordinates a pixel.
_PIXELS_AT_ONCE = 2**25


class LazyMasks(Tensor):
    """Masks (N, H, W) of one image, kept as (N, 1, h, w) until somebody reads a pixel.

    A tensor to all who use it: any operation but those below pastes the masks, once, and goes on
    with the result. Shape, type and length need no pixels. Choosing rows, by a slice, indices or a
    boolean mask, gives the chosen masks, still lazy; by a number, it pastes that mask only.

    Args:
        probabilities: (N, 1, h, w) in 0..1.
        boxes: (N, 4) as x1, y1, x2, y2 in pixels of the image.
        size: H, W.
        threshold: Pixels from this probability on are in the mask; below 0, masks are
            probabilities of 0..255 in uint8.
    """

    @staticmethod
    def __new__(
        cls, probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float
    ) -> LazyMasks:
        masks = Tensor._make_wrapper_subclass(
            cls,
            (len(boxes), *map(int, size)),
            dtype=torch.bool if threshold >= 0 else torch.uint8,
            device=boxes.device,
        )
        masks._source = (probabilities, boxes, size, threshold)
        masks._pasted = None
        return masks

    def pasted(self) -> Tensor:
        """The masks as an ordinary tensor (N, H, W)."""
        if self._pasted is None:
            self._pasted = _paste(*self._source)
        return self._pasted

    def choose(self, rows: slice | Tensor) -> LazyMasks:
        """Some of the masks, by a slice, (M,) indices or an (N,) boolean mask."""
        probabilities, boxes, size, threshold = self._source
        return LazyMasks(probabilities[rows], boxes[rows], size, threshold)

    def flip(self, dims: Sequence[int]) -> LazyMasks:
        """The masks mirrored along the height (-2) or the width (-1) of the image, or both."""
        probabilities, boxes, size, threshold = self._source
        boxes = boxes.clone()
        for dim in dims:
            if dim not in (-2, -1):
                return self.pasted().flip(dims)
            axis = -1 - dim  # x is first in a box
            boxes[:, axis::2] = size[dim] - boxes[:, axis::2].flip(1)
        return LazyMasks(probabilities.flip(dims), boxes, size, threshold)

    @staticmethod
    def join(parts: Sequence[LazyMasks]) -> LazyMasks:
        """Masks of the same image one after the other."""
        probabilities, boxes, sizes, thresholds = zip(*(part._source for part in parts))
        return LazyMasks(torch.cat(probabilities), torch.cat(boxes), sizes[0], thresholds[0])

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _NEEDS_NO_PIXELS:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        if function is Tensor.__getitem__ and args[0]._pasted is None:
            masks, item = args
            rows = _rows(item, masks.device)
            if rows is not None:
                return masks.choose(rows)
            if isinstance(item, int) and -len(masks) <= item < len(masks):
                row = item % len(masks)
                return masks.choose(slice(row, row + 1)).pasted()[0]
        return function(*tree_map(_plain, args), **tree_map(_plain, kwargs))

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        # reached where torch calls itself without __torch_function__
        return function(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))


_NEEDS_NO_PIXELS = {
    Tensor.__len__,
    Tensor.size,
    Tensor.dim,
    Tensor.numel,
    *(
        getattr(Tensor, name).__get__
        for name in ('shape', 'dtype', 'device', 'ndim', 'is_cuda', 'is_cpu', 'requires_grad')
    ),
}


def _plain(value):
    return value.pasted() if isinstance(value, LazyMasks) else value


def _rows(item, device: torch.device) -> slice | Tensor | None:
    """An index of the first dimension that keeps it, or None."""
    if isinstance(item, (list, np.ndarray)):
        item = torch.as_tensor(item, device=device)
        item = item if item.numel() else item.long()
    if isinstance(item, slice) or (isinstance(item, Tensor) and item.dim() == 1):
        return item
    return None


def _paste(probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    height, width = size
    dtype = torch.bool if threshold >= 0 else torch.uint8
    masks = torch.zeros(len(boxes), height, width, device=boxes.device, dtype=dtype)
    # On the CPU each mask is pasted into the surroundings of its own box; elsewhere many at once,
    # into the whole image.
    step = 1 if boxes.is_cpu else max(_PIXELS_AT_ONCE // (height * width), 1)
    for start in range(0, len(boxes), step):
        rows = slice(start, start + step)
        values, region = _do_paste_mask(
            probabilities[rows], boxes[rows], height, width, skip_empty=boxes.is_cpu
        )
        values = values >= threshold if threshold >= 0 else (values * 255).to(dtype)
        masks[(rows, *region)] = values
    return masks
