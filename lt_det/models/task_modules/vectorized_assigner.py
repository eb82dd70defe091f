"""MaxIoUAssigner without its loop over objects."""

from __future__ import annotations

import torch
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from torch import Tensor

_TOGETHER = 64  # objects whose boxes are compared at once, in a byte for each pair


@TASK_UTILS.register_module()
class VectorizedMaxIoUAssigner(MaxIoUAssigner):
    """MaxIoUAssigner that assigns all objects of an image together, with the same results.

    Where low-quality matches are allowed, MMDetection goes through the objects one by one, with
    some operations and a wait for the device each, in the RPN and again in the second stage. An
    image of LVIS has 13 objects on average and some have hundreds. Here 64 objects are assigned
    together, and no operation waits. Takes the arguments of MaxIoUAssigner.
    """

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assign objects to boxes.

        Args:
            overlaps: (K, N), of K objects with N boxes.
            gt_labels: (K,), of the objects.

        Returns:
            For each box the number of its object, from 1, or 0 for background and -1 for neither;
            its largest overlap; and the label of its object, or -1.
        """
        if not overlaps.numel():
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        largest, nearest = overlaps.max(dim=0)
        pair = isinstance(self.neg_iou_thr, (tuple, list))
        low, high = self.neg_iou_thr if pair else (0.0, self.neg_iou_thr)
        background = (largest >= low) & (largest < high)
        assigned = torch.where(largest >= self.pos_iou_thr, nearest + 1, -1 + background.long())
        if self.match_low_quality:
            last = self._last_to_claim(overlaps)
            assigned = torch.where(last > 0, last, assigned)
        labels = torch.where(assigned > 0, gt_labels[(assigned - 1).clamp(min=0)], -1)
        return AssignResult(len(overlaps), assigned, largest, labels)

    def _last_to_claim(self, overlaps: Tensor) -> Tensor:
        """Number of the last object to which each box (N,) is the nearest, or 0."""
        largest, nearest = overlaps.max(dim=1)
        claims = largest >= self.min_pos_iou
        last = nearest.new_zeros(overlaps.size(1))
        if not self.gt_max_assign_all:
            number = torch.arange(1, len(overlaps) + 1, device=overlaps.device)
            return last.scatter_reduce(0, nearest, number * claims, 'amax')
        number = torch.arange(1, _TOGETHER + 1, dtype=torch.uint8, device=overlaps.device)
        parts = (tensor.split(_TOGETHER) for tensor in (overlaps, largest, claims))
        for part, (of_part, top, claim) in enumerate(zip(*parts)):
            numbers = number[: len(top)] * claim
            chosen = ((of_part == top[:, None]) * numbers[:, None]).amax(dim=0)
            last = torch.where(chosen > 0, chosen.long() + part * _TOGETHER, last)
        return last
