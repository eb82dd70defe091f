"""RPN whose non-maximum suppression ends when enough proposals are known."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmcv.ops import nms
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from .layers.class_indexed_conv import traced
from .roi_heads.topk_nms import is_plain


@MODELS.register_module()
class QuickRPNHead(RPNHead):
    """RPNHead that suppresses among its best candidates, with the same proposals.

    Of the 8,800 candidates of an image of 800 x 1333 pixels in training, NMS keeps thousands, of
    which the best ``max_per_img``, usually 1,000, are taken. Whether it keeps a candidate depends
    on better ones alone. So three times as many as are wanted are looked at, and all only where
    these leave too few; then twice as many are looked at from there on. NMS of other kinds than
    plain is that of RPNHead. Takes the arguments of RPNHead.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._reach = 3  # times as many candidates as proposals

    def _bbox_post_process(
        self, results: InstanceData, cfg: ConfigDict, *args: Any, **kwargs: Any
    ) -> InstanceData:
        """Proposals (K,) of candidates (N,) with bboxes, scores and level_ids."""
        if is_plain(cfg.get('nms')) and cfg.max_per_img > 0 and not traced():
            first = partial(self._first, wanted=cfg.max_per_img)
            cfg = ConfigDict(cfg, nms=dict(cfg.nms, type=first))
        return super()._bbox_post_process(results, cfg, *args, **kwargs)

    def _first(
        self, boxes: Tensor, scores: Tensor, iou_threshold: float, wanted: int
    ) -> tuple[Tensor, Tensor]:
        """What NMS keeps, best first, or its beginning with as many boxes as are wanted or more.

        Args:
            boxes: (N, 4) as x1, y1, x2, y2.
            scores: (N,).
            iou_threshold: Of NMS.
            wanted: K.

        Returns:
            Boxes and scores (M, 5), and their indices (M,).
        """
        reach = self._reach * wanted
        if len(scores) > reach:
            best = scores.sort(descending=True, stable=True).indices[:reach]
            kept, index = nms(boxes[best], scores[best], iou_threshold)
            if len(index) >= wanted:
                return kept, best[index]
            self._reach *= 2
        return nms(boxes, scores, iou_threshold)
