"""Bitmap masks that keep of each object only the rectangle around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from pycocotools import mask as mask_utils

from ..errors import BadInputError
from .mask_targets import mask_targets


class CompactMasks(BitmapMasks):
    """BitmapMasks with the same pixels after every operation, in a fraction of the memory.

    Polygons become pixels when an operation needs them, in the rectangle around the object.
    Resizing to the nearest pixel, flipping, padding, cropping, selection and mask targets stay in
    that rectangle; everything else works on ``masks``, which is filled in on first use.

    Objects may be marked as having no mask. They stay so marked in whatever is made of the masks,
    and no mask target is made of them.

    Args:
        masks: (N, H, W) uint8, as for BitmapMasks; see also :meth:`from_segmentations`.
        height: H
        width: W
        maskless: (N,) bool, objects without a mask; none by default.
    """

    def __init__(
        self,
        masks: np.ndarray | list,
        height: int,
        width: int,
        maskless: np.ndarray | None = None,
    ) -> None:
        self._maskless = _marks(maskless)
        self._segmentations: list | None = None
        self._crops: list[tuple[int, int, np.ndarray]] | None = None
        super().__init__(masks, height, width)

    @classmethod
    def from_segmentations(
        cls, segmentations: list, height: int, width: int, maskless: np.ndarray | None = None
    ) -> CompactMasks:
        """N objects, each a list of polygons [x, y, ...] or run-length code, on an H x W image."""
        return cls._make(height, width, maskless, segmentations=segmentations)

    @classmethod
    def from_crops(
        cls, crops: list, height: int, width: int, maskless: np.ndarray | None = None
    ) -> CompactMasks:
        """N objects, each (top, left, pixels) of a rectangle around it, on an H x W image."""
        return cls._make(height, width, maskless, crops)

    @classmethod
    def _make(
        cls,
        height: int,
        width: int,
        maskless: np.ndarray | None,
        crops: list | None = None,
        segmentations: list | None = None,
    ) -> CompactMasks:
        masks = cls.__new__(cls)
        masks._maskless = _marks(maskless)
        masks.height, masks.width = height, width
        masks._crops, masks._segmentations, masks._masks = crops, segmentations, None
        return masks

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) uint8; once asked for it is all that is kept, for it may be written to."""
        if self._masks is None:
            self.masks = self._planes(range(len(self)))
        return self._masks

    @masks.setter
    def masks(self, masks: np.ndarray) -> None:
        self._masks = masks
        self._crops = self._segmentations = None

    @property
    def maskless(self) -> np.ndarray:
        """(N,) bool, objects without a mask."""
        return np.zeros(len(self), bool) if self._maskless is None else self._maskless

    @property
    def crops(self) -> list[tuple[int, int, np.ndarray]]:
        """N (top, left, pixels) of rectangles outside of which an object has no pixel."""
        if self._masks is not None:
            return [_crop(mask) for mask in self._masks]
        if self._crops is None:
            size = self.height, self.width
            self._crops = [_crop(_rasterise(mask, *size)) for mask in self._segmentations]
            self._segmentations = None
        return self._crops

    def _planes(self, indices: Sequence[int]) -> np.ndarray:
        planes = np.zeros((len(indices), self.height, self.width), np.uint8)
        crops = self.crops
        for plane, index in zip(planes, indices):
            top, left, pixels = crops[index]
            plane[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return planes

    def _each(self, change: Callable, height: int, width: int) -> CompactMasks:
        return self._make(height, width, self._maskless, [change(*crop) for crop in self.crops])

    def _marked(self, masks: BitmapMasks) -> BitmapMasks:
        """Masks of the same objects that stock code made."""
        if self._maskless is None:
            return masks
        return CompactMasks(masks.masks, masks.height, masks.width, self._maskless)

    def __len__(self) -> int:
        for objects in (self._segmentations, self._crops):
            if objects is not None:
                return len(objects)
        return len(self._masks)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_masks={len(self)}, {self.height=}, {self.width=})'

    def __getitem__(self, index: int | np.ndarray) -> CompactMasks:
        chosen = np.atleast_1d(np.arange(len(self))[index])
        maskless = None if self._maskless is None else self._maskless[chosen]
        if self._segmentations is not None:
            segmentations = [self._segmentations[i] for i in chosen]
            return self._make(self.height, self.width, maskless, segmentations=segmentations)
        crops = self.crops
        return self._make(self.height, self.width, maskless, [crops[i] for i in chosen])

    @classmethod
    def cat(cls, masks: Sequence[CompactMasks]) -> CompactMasks:
        """Masks of the same size, one behind another."""
        joined = super().cat(masks)
        marks = np.concatenate([part.maskless for part in masks])
        return cls(joined.masks, joined.height, joined.width, marks)

    def rescale(self, scale, interpolation: str = 'nearest') -> BitmapMasks:
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width), interpolation)

    def resize(self, out_shape: tuple[int, int], interpolation: str = 'nearest') -> BitmapMasks:
        if interpolation != 'nearest':
            return self._marked(super().resize(out_shape, interpolation))
        rows = _nearest(self.height, out_shape[0])
        columns = _nearest(self.width, out_shape[1])

        def change(top: int, left: int, pixels: np.ndarray) -> tuple:
            height, width = pixels.shape
            first_row, last_row = np.searchsorted(rows, [top, top + height])
            first, last = np.searchsorted(columns, [left, left + width])
            pixels = pixels[rows[first_row:last_row] - top][:, columns[first:last] - left]
            return int(first_row), int(first), pixels

        return self._each(change, *out_shape)

    def flip(self, flip_direction: str = 'horizontal') -> CompactMasks:
        vertical = flip_direction in ('vertical', 'diagonal')
        horizontal = flip_direction in ('horizontal', 'diagonal')

        def change(top: int, left: int, pixels: np.ndarray) -> tuple:
            height, width = pixels.shape
            return (
                self.height - top - height if vertical else top,
                self.width - left - width if horizontal else left,
                mmcv.imflip(pixels, flip_direction),
            )

        return self._each(change, self.height, self.width)

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> BitmapMasks:
        if pad_val:
            return self._marked(super().pad(out_shape, pad_val))
        return self._each(lambda *crop: crop, *out_shape)

    def crop(self, bbox: np.ndarray) -> BitmapMasks:
        x1, x2 = np.clip(bbox[0::2], 0, self.width).tolist()
        y1, y2 = np.clip(bbox[1::2], 0, self.height).tolist()
        if x2 <= x1 or y2 <= y1:
            return self._marked(super().crop(bbox))

        def change(top: int, left: int, pixels: np.ndarray) -> tuple:
            pixels = pixels[max(y1 - top, 0) : max(y2 - top, 0)]
            pixels = pixels[:, max(x1 - left, 0) : max(x2 - left, 0)]
            if not pixels.size:
                return 0, 0, pixels[:0, :0]
            return max(top - y1, 0), max(left - x1, 0), pixels

        return self._each(change, y2 - y1, x2 - x1)

    def expand(self, *args, **kwargs) -> BitmapMasks:
        return self._marked(super().expand(*args, **kwargs))

    def translate(self, *args, **kwargs) -> BitmapMasks:
        return self._marked(super().translate(*args, **kwargs))

    def shear(self, *args, **kwargs) -> BitmapMasks:
        return self._marked(super().shear(*args, **kwargs))

    def rotate(self, *args, **kwargs) -> BitmapMasks:
        return self._marked(super().rotate(*args, **kwargs))

    def to_tensor(self, dtype: torch.dtype, device: str | torch.device) -> torch.Tensor:
        self.require_masks(np.arange(len(self)))
        return super().to_tensor(dtype, device)

    def require_masks(self, objects: np.ndarray) -> None:
        """Refuse objects that have no mask.

        Raises:
            BadInputError: One of ``objects``, as indices, has none.
        """
        if self._maskless is not None and self._maskless[objects].any():
            raise BadInputError(
                'an instance without a mask came to a mask head that learns from every instance: '
                "LoadCompactAnnotations has maskless='box', which is for ClassIndexedMaskHead and "
                "ClassIndexedHTCMaskHead; expected maskless='ignore'"
            )

    def crop_and_resize(
        self,
        bboxes: np.ndarray | torch.Tensor,
        out_shape: tuple[int, int],
        inds: np.ndarray | torch.Tensor,
        device: str | torch.device = 'cpu',
        interpolation: str = 'bilinear',
        binarize: bool = True,
    ) -> BitmapMasks:
        """Mask targets (R, h, w) of R boxes: of box r that of object ``inds[r]``.

        See :func:`mask_targets`, which makes those of a batch and leaves them on the device.

        Raises:
            BadInputError: One of the objects has no mask.
        """
        inds = torch.as_tensor(inds).cpu().numpy()
        self.require_masks(inds)
        if not len(self) or not len(inds):
            return BitmapMasks(np.empty((0, *out_shape), np.uint8), *out_shape)
        boxes = torch.as_tensor(bboxes).to(device)
        size = self.height, self.width
        targets = mask_targets([self.crops], [size], [boxes], [inds], out_shape, binarize)
        return BitmapMasks(targets.cpu().numpy(), *out_shape)


def _marks(maskless: np.ndarray | None) -> np.ndarray | None:
    return maskless if maskless is not None and maskless.any() else None


def _rasterise(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """(H, W) uint8, as MMDetection does it."""
    rle = segmentation
    if isinstance(segmentation, list):
        rle = mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation['counts'], list):
        rle = mask_utils.frPyObjects(segmentation, height, width)
    return mask_utils.decode(rle)


def _crop(mask: np.ndarray) -> tuple[int, int, np.ndarray]:
    # pycocotools gives columns one behind another, which for OpenCV is the transposed image
    top, left, height, width = cv2.boundingRect(np.ascontiguousarray(mask.T))
    return top, left, np.ascontiguousarray(mask[top : top + height, left : left + width])


def _nearest(old: int, new: int) -> np.ndarray:
    """(new,) which of ``old`` pixels each pixel of a resized line comes from."""
    index = np.arange(old)
    low, high = (
        mmcv.imresize(part.astype(np.uint8)[None], (new, 1), interpolation='nearest')[0]
        for part in (index % 256, index // 256)
    )
    return low + 256 * high.astype(np.int64)
