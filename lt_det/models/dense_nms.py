"""Top-k NMS in the dense heads of MMDetection.

Their NMS suppresses all candidates, class by class where there are 10,000 of them, and then keeps
``max_per_img``. With a thousand classes that is most of the time that a prediction takes.
"""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RTMDetInsHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from .roi_heads.topk_nms import is_plain, topk_nms


def use_topk_nms(head: nn.Module) -> bool:
    """Let a dense head look at candidates only until the best ``max_per_img`` are known.

    Detections are those of the stock head, of equal scores the first candidate first; it suppresses
    within each class by moving the boxes of classes apart, which costs the last classes precision,
    and has no order of ties from 10,000 candidates on (:func:`.topk_nms.topk_multiclass_nms`).
    Where the config asks for more than plain NMS, or for all detections, it is the stock path. A
    candidate with a score of NaN is dropped.

    Args:
        head: Changed where it post-processes as ``BaseDenseHead`` or ``RTMDetInsHead`` do; heads
            with a way of their own (YOLOX, PAA, YOLACT, RPN) stay as they are.

    Returns:
        Whether it is changed.
    """
    kind = type(head)
    if getattr(kind, '_bbox_mask_post_process', None) is RTMDetInsHead._bbox_mask_post_process:
        head._bbox_mask_post_process = _TopKBoxesAndMasks(head)
    elif getattr(kind, '_bbox_post_process', None) is BaseDenseHead._bbox_post_process:
        head._bbox_post_process = _TopKBoxes(head)
    else:
        return False
    return True


class _TopKBoxes:
    """Stands for ``_bbox_post_process`` of a head.

    An object, so that a copy of the head has one that refers to the copy.
    """

    def __init__(self, head: nn.Module) -> None:
        self.head = head

    def __call__(
        self,
        results: InstanceData,
        cfg: dict,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Detections (K,) of candidates (N,) with bboxes, scores, labels and maybe factors."""
        topk = with_nms and _is_simple(results, cfg)
        results = BaseDenseHead._bbox_post_process(
            self.head, results, cfg, rescale, with_nms and not topk, img_meta
        )
        if not topk or not results.bboxes.numel():
            return results
        results = results[_best(results, cfg)]
        # as batched_nms has them side by side
        dtype = torch.promote_types(get_box_tensor(results.bboxes).dtype, results.scores.dtype)
        results.scores = results.scores.to(dtype)
        return results


class _TopKBoxesAndMasks:
    """Stands for ``_bbox_mask_post_process`` of RTMDet-Ins: it gets the best candidates alone."""

    def __init__(self, head: nn.Module) -> None:
        self.head = head

    def __call__(
        self,
        results: InstanceData,
        mask_feat: Tensor,
        cfg: dict,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Detections (K,) with masks of candidates (N,) with kernels and priors."""
        if with_nms and _is_simple(results, cfg) and results.bboxes.numel():
            read = {name: results[name] for name in ('bboxes', 'scores', 'labels')}
            if 'score_factors' in results:
                read['score_factors'] = results.score_factors
            index = torch.arange(len(results), device=results.scores.device)
            candidates = BaseDenseHead._bbox_post_process(
                self.head, InstanceData(**read, index=index), cfg, rescale, False, img_meta
            )
            results = results[candidates.index[_best(candidates, cfg)]]
        return RTMDetInsHead._bbox_mask_post_process(
            self.head, results, mask_feat, cfg, rescale, with_nms, img_meta
        )


def _is_simple(results: InstanceData, cfg: dict) -> bool:
    """Whether it is plain NMS of upright boxes, of which a number is wanted."""
    return (
        is_plain(cfg.get('nms'))
        and (cfg.get('max_per_img') or 0) > 0
        and get_box_tensor(results.bboxes).size(-1) == 4
    )


def _best(candidates: InstanceData, cfg: dict) -> Tensor:
    """Indices (K,) of the candidates (N,) that plain NMS keeps, best first."""
    boxes = get_box_tensor(candidates.bboxes)
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    return topk_nms(
        candidates.scores,
        candidates.labels.__getitem__,
        boxes.__getitem__,
        -torch.inf,
        cfg['nms']['iou_threshold'],
        cfg['max_per_img'],
    )[0]
