"""Loading of annotations with compact masks."""

from __future__ import annotations

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from ..errors import BadInputError
from ..formats.segmentations import mask_problem
from .compact_masks import CompactMasks


@TRANSFORMS.register_module()
class LoadCompactAnnotations(LoadAnnotations):
    """LoadAnnotations with :class:`CompactMasks`: the same masks, not yet drawn.

    With ``poly2mask=False`` it is the same.

    Args:
        maskless: What becomes of an instance without a mask. 'ignore': no loss looks at it, as with
            LoadAnnotations. 'box': it is learned as a box; for ClassIndexedMaskHead and
            ClassIndexedHTCMaskHead, which leave it out of the mask loss.
        **kwargs: Those of LoadAnnotations.

    Raises:
        BadInputError: A mask is malformed, which pycocotools would draw all the same; or
            ``maskless`` is something else, or 'box' without bitmaps.
    """

    def __init__(self, *args, maskless: str = 'ignore', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if maskless not in ('ignore', 'box') or (maskless == 'box' and not self.poly2mask):
            raise BadInputError(
                f'LoadCompactAnnotations has maskless={maskless!r} and poly2mask='
                f"{self.poly2mask}; expected 'ignore', or 'box' with poly2mask=True"
            )
        self.maskless = maskless

    def _load_masks(self, results: dict) -> None:
        if not self.poly2mask:
            return super()._load_masks(results)
        instances = results.get('instances', [])
        for instance in instances:
            instance.setdefault('mask', [])
        ignored = np.array([instance['ignore_flag'] for instance in instances], bool)
        masks = self._process_masks(results)
        for mask in masks:
            problem = mask_problem(mask, *results['ori_shape'])
            if problem:
                raise BadInputError(f'mask of {results.get("img_path")}: {problem}')
        maskless = None
        if self.maskless == 'box':
            maskless = results['gt_ignore_flags'] & ~ignored
            results['gt_ignore_flags'] = ignored
        results['gt_masks'] = CompactMasks.from_segmentations(
            masks, *results['ori_shape'], maskless
        )
