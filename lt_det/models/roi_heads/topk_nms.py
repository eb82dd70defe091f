"""The best detections after non-maximum suppression of each class, without suppressing all others.

Whether greedy NMS keeps a candidate depends on those with higher scores alone. So the candidates
are taken in blocks, best first, and once enough of them are kept, the rest cannot matter.
P proposals, C classes, K detections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Candidates per block, so many that the first usually suffices and so few that the pairs of one
# class, of which a block may consist, are not many more than are compared at a time.
_BLOCK = 2048
_PAIRS = 2**21  # compared at a time, in 200 MB
_ROUNDS = 3  # of the answer between two looks at it, for which the device is waited for
_GROUP = 64  # scores of which the highest is looked at first


def topk_multiclass_nms(
    scores: Tensor,
    boxes_of: Callable[[Tensor, Tensor], Tensor],
    score_thr: float,
    iou_threshold: float,
    max_num: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The best ``max_num`` of what greedy NMS keeps in each class.

    Candidates are the pairs of proposal and class. Of equal scores, the lower proposal comes first,
    then the lower class; that is mmcv's order where it has one (below 10,000 candidates; above, its
    sort is not stable). Boxes of different classes are told apart by their class, not by moving
    them, and overlap in the precision of their coordinates, wherever they are.

    Args:
        scores: (P, C) without background, on any device; NaN is below every threshold.
        boxes_of: Maps proposals (M,) and labels (M,) to boxes (M, 4) as x1, y1, x2, y2.
        score_thr: Candidates have higher scores than this.
        iou_threshold: A candidate goes if it overlaps a better one of its class, that is kept, by
            more than this.
        max_num: Positive number of detections.

    Returns:
        boxes (K, 4), scores (K,) and labels (K,), best first.
    """
    num_classes = scores.size(1)
    flat = scores.flatten()
    kept, boxes = topk_nms(
        flat,
        lambda pairs: pairs % num_classes,
        lambda pairs: boxes_of(pairs.div(num_classes, rounding_mode='floor'), pairs % num_classes),
        score_thr,
        iou_threshold,
        max_num,
    )
    return boxes, flat[kept], kept % num_classes


def topk_nms(
    scores: Tensor,
    labels_of: Callable[[Tensor], Tensor],
    boxes_of: Callable[[Tensor], Tensor],
    score_thr: float,
    iou_threshold: float,
    max_num: int,
) -> tuple[Tensor, Tensor]:
    """:func:`topk_multiclass_nms` of any candidates; of equal scores, the first comes first.

    Args:
        scores: (N,), on any device; NaN is below every threshold.
        labels_of: Maps candidates (M,), as indices in [0, N), to their labels (M,).
        boxes_of: Maps candidates (M,) to their boxes (M, 4) as x1, y1, x2, y2.
        score_thr: See there.
        iou_threshold: See there.
        max_num: See there.

    Returns:
        Indices (K,) of the candidates that are kept, best first, and their boxes (K, 4).
    """
    kept = scores.new_empty(0, dtype=torch.long)
    boxes = None
    for block in _blocks(scores, score_thr, max(_BLOCK, max_num)):
        candidates = torch.cat([kept, block])
        new = boxes_of(block)
        boxes = new if boxes is None else torch.cat([boxes, new])
        chosen = _survivors(boxes, labels_of(candidates), len(kept), iou_threshold)
        kept, boxes = candidates[chosen], boxes[chosen]
        if len(kept) >= max_num:
            break
    return kept[:max_num], boxes[:max_num]


def is_plain(nms: dict | None) -> bool:
    """Whether an NMS config is greedy NMS within each class, its threshold the only parameter."""
    return (
        nms is not None
        and nms.get('type', 'nms') == 'nms'
        and 'iou_threshold' in nms
        and nms.keys() <= {'type', 'iou_threshold', 'split_thr'}
    )


def _blocks(scores: Tensor, score_thr: float, reach: int) -> Iterator[Tensor]:
    """Indices of the scores above the threshold in blocks, best first; of equal ones the lowest
    first.

    At least one block comes, which may be empty. The best ``reach`` are sorted first.
    """
    whole = len(scores) // _GROUP * _GROUP
    highest = scores[:whole].view(-1, _GROUP).amax(1)
    done = 0
    while True:
        index = _candidates(scores, highest, score_thr, reach)
        values = scores[index]
        worst = values.topk(min(reach, len(values))).values[-1:]
        # with all that equal the worst, which topk would choose among at will
        chosen = index[values >= worst]
        order = chosen[scores[chosen].sort(descending=True, stable=True).indices]
        yield from order[done:].split(_BLOCK)
        if len(order) < reach:
            return
        done, reach = len(order), 4 * len(order)


def _candidates(scores: Tensor, highest: Tensor, score_thr: float, number: int) -> Tensor:
    """Indices of scores above the threshold, ascending; the best ``number`` are among them.

    Args:
        scores: (N,).
        highest: The highest of each whole group of ``_GROUP`` scores. Groups that cannot have one
            of the best are not read again.
        score_thr: See :func:`topk_multiclass_nms`.
        number: Positive.
    """
    if len(highest) < 4 * number:
        return (scores > score_thr).nonzero().squeeze(1)
    unknown = highest.isnan()  # what else is in such a group cannot be told
    # so many groups have a score that is not lower
    bound = highest.masked_fill(unknown, -torch.inf).topk(number).values[-1]
    group = ((highest >= bound) | unknown).nonzero()
    index = group * _GROUP + torch.arange(_GROUP, device=group.device)
    rest = torch.arange(len(highest) * _GROUP, len(scores), device=group.device)
    index = torch.cat([index.flatten(), rest])
    return index[scores[index] > score_thr]


def _survivors(boxes: Tensor, labels: Tensor, num_kept: int, iou_threshold: float) -> Tensor:
    """Indices (K,) of what greedy NMS keeps in each class, in ascending order.

    Args:
        boxes: (M, 4), best first.
        labels: (M,).
        num_kept: The first ones are known to be kept.
        iou_threshold: See :func:`topk_multiclass_nms`.
    """
    number = len(boxes)
    order = labels.argsort(stable=True)
    ordered = labels[order]
    place = torch.arange(number, device=boxes.device)
    # each candidate is compared with those before it in its class
    first = torch.searchsorted(ordered, ordered)
    rivals = torch.where(order < num_kept, 0, place - first)
    pairs = []
    for portion, total in _portions(rivals):
        number_each = rivals[portion]
        begins = number_each.cumsum(0) - number_each
        later = place[portion].repeat_interleave(number_each, output_size=total)
        before = torch.arange(total, device=boxes.device) - begins[later - portion.start]
        later, before = order[later], order[before + first[later]]
        overlapping = _iou(boxes[later], boxes[before]) > iou_threshold
        pairs.append(torch.stack([later, before])[:, overlapping])
    later, before = torch.cat(pairs, 1)
    # A candidate is right as soon as those that it depends on are: the best ones at once, then
    # those that only they overlap, and so on.
    kept = torch.ones(number, dtype=torch.bool, device=boxes.device)
    while True:
        for _ in range(_ROUNDS):
            hits = torch.zeros(number, dtype=torch.int32, device=boxes.device)
            hits.index_add_(0, later, kept[before].int())
            former, kept = kept, hits == 0
        if torch.equal(former, kept):  # waits for the device
            return kept.nonzero().squeeze(1)


def _portions(rivals: Tensor) -> list[tuple[slice, int]]:
    """Places (M,) in portions of about ``_PAIRS`` pairs, and how many pairs each portion has."""
    ends = rivals.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    if total <= _PAIRS:
        return [(slice(0, len(ends)), total)]
    goals = torch.arange(_PAIRS, total, _PAIRS, device=ends.device)
    places = torch.searchsorted(ends, goals, right=True).unique()
    counts = ends[places - 1].tolist()
    starts, stops = [0, *places.tolist()], [*places.tolist(), len(ends)]
    return [
        (slice(start, stop), after - before)
        for start, stop, before, after in zip(starts, stops, [0, *counts], [*counts, total])
    ]


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """(M, 4), (M, 4) to (M,); NaN for two boxes without area."""
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    intersection = size[:, 0] * size[:, 1]
    return intersection / (_area(a) + _area(b) - intersection)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
