"""Peaks of memory in the parts whose memory grows with the number of classes, stock and ours.

Counted are the bytes that torch's allocator holds at the peak of a step, beyond what was there
before it, from the profiler's record of every allocation. The numbers depend on shapes alone, not
on the load of the machine, and a GPU holds the same tensors. Sizes are those of LVIS: 1203 classes,
512 RoIs of each of 4 images, where it is not said otherwise.

The last rows, several minutes each, are a whole training step of Mask R-CNN R50 in mixed precision,
on 4 images of 800 x 1333 pixels with 12 objects each, beside MMDetection's: as its LVIS config has
it, with norms folded into weights, with masks of 128 RoIs at once too, and with the neck and the
RPN computed anew in the backward pass. Convolutions of a CPU hold copies of their own there, which
those of a GPU do not.

    python benchmarks/speed/memory.py

writes benchmarks/results/memory.json and .md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish, table_page


def parse_args() -> argparse.Namespace:
    return option_parser(__doc__).parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
from speed.gpu_steps.detectors import STOCK, build, make_batch, num_classes

# isort: split
import torch
from common.allocations import peak_mb
from mmdet.models.layers import multiclass_nms
from mmdet.models.losses import EQLV2Loss, SeesawLoss
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from speed.gpu_steps.context import Context
from speed.gpu_steps.training_cost import make_step
from torch import Tensor, nn
from torch.nn import functional as F

from lt_det.models.layers import CAMCalibration
from lt_det.models.losses import LongTailEQLV2Loss, LongTailSeesawLoss
from lt_det.models.roi_heads.topk_nms import topk_multiclass_nms

C, ROIS = 1203, 2048
OF_AN_IMAGE = 512


def of_loss(loss: nn.Module, channels: int) -> Callable[[], None]:
    logits, labels = torch.randn(ROIS, channels), torch.randint(C + 1, (ROIS,))
    labels[ROIS // 4 :] = C  # a quarter are objects, as the sampler has it
    logits.requires_grad_()
    weights = torch.ones(ROIS)

    def step() -> None:
        found = loss(logits, labels, weights)
        found = sum(found.values()) if isinstance(found, dict) else found
        torch.autograd.grad(found, logits)

    return step


def of_box_head(kind: str) -> Callable[[], None]:
    """Loss and gradients of the two predictors of a box head, on RoI vectors of 1024."""
    head = MODELS.build(
        dict(type=kind, num_shared_fcs=1, in_channels=4, fc_out_channels=1024, num_classes=C)
    )
    head.init_weights()
    features = torch.randn(ROIS, 4, 7, 7)
    labels = torch.randint(C, (ROIS,))
    labels[ROIS // 4 :] = C
    boxes, ones = torch.rand(ROIS, 4), torch.ones(ROIS)

    def step() -> None:
        logits, deltas = head(features)
        losses = head.loss(logits, deltas, F.pad(boxes, (1, 0)), labels, ones, boxes, boxes)
        total = sum(value for name, value in losses.items() if name.startswith('loss'))
        torch.autograd.grad(total, list(head.parameters()))

    return step


def of_nms(ours: bool, classes: int, kept: int) -> Callable[[], object]:
    """1000 proposals, each with a box of each class; all scores are above the threshold."""
    corner = torch.rand(1000, classes, 2) * 900
    boxes = torch.cat([corner, corner + 30 + 60 * torch.rand(1000, classes, 2)], 2)
    scores = torch.rand(1000, classes + 1)
    if ours:
        return lambda: topk_multiclass_nms(scores[:, :-1], lambda p, c: boxes[p, c], 0.0, 0.5, kept)
    cfg = dict(type='nms', iou_threshold=0.5)
    return lambda: multiclass_nms(boxes.flatten(1), scores, 0.0, cfg, kept)


def plain_calibration(cam: CAMCalibration, features: Tensor, probabilities: Tensor) -> Tensor:
    """The formula of CAMCalibration as it is written, with unit vectors of all places."""
    embedding = F.normalize(cam.embed(features).float(), dim=1)
    weights, classes = probabilities[:, :C].topk(cam.top_k)
    query = (weights[..., None] * cam.prototypes[classes]).sum(1)
    response = torch.einsum('bd,bdhw->bhw', query, embedding)
    places = response[0].numel()
    attention = (response.flatten(1) / cam.temperature).softmax(1).view_as(response) * places
    gamma = cam.gamma[0]
    return features * (1 + gamma * attention)[:, None] / (1 + gamma)


def of_calibration(ours: bool, half: bool) -> Callable[[], None]:
    cam = CAMCalibration(C, 256, label_prob=0.0)
    cam.prototypes.normal_()
    features = torch.randn(OF_AN_IMAGE, 256, 7, 7)
    features = (features.bfloat16() if half else features).requires_grad_()
    probabilities = torch.randn(OF_AN_IMAGE, C + 1).softmax(1)
    labels = torch.randint(C + 1, (OF_AN_IMAGE,))

    def step() -> None:
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            if ours:
                result = cam(features, probabilities, labels)
            else:
                result = plain_calibration(cam, features, probabilities)
        torch.autograd.grad(result.float().mean(), [features, cam.gamma, cam.embed.weight])

    return step


TRAINING: dict[str, dict] = {
    'its LVIS config': {},
    'fold_norms=True': dict(fold_norms=True),
    'fold_norms=True, rois_at_once=128': dict(fold_norms=True, rois_at_once=128),
    'these, neck and rpn_head recomputed': dict(
        fold_norms=True, rois_at_once=128, recompute=('neck', 'rpn_head')
    ),
}


def training_mb(stock=False, rois_at_once: int | None = None, **options) -> float:
    """Of the first training step, which holds as much as those after it."""
    changes = dict(STOCK) if stock else {'model.roi_head.mask_head.rois_at_once': rois_at_once}
    context = Context(torch.device('cpu'), toy=False, folder=Path())
    model = build(context, changes, **options).train()
    batch = make_batch(4, (800, 1333), 12, num_classes(context), stock=stock)
    return round(peak_mb(make_step(context, model, batch, torch.bfloat16)), 1)


STAGES: dict[str, tuple[Callable, Callable]] = {
    'Seesaw loss': (
        lambda: of_loss(SeesawLoss(num_classes=C), C + 2),
        lambda: of_loss(LongTailSeesawLoss(num_classes=C), C + 2),
    ),
    'EQLv2 loss': (
        lambda: of_loss(EQLV2Loss(num_classes=C), C + 1),
        lambda: of_loss(LongTailEQLV2Loss(num_classes=C), C + 1),
    ),
    'box head, softmax': (
        lambda: of_box_head('ConvFCBBoxHead'),
        lambda: of_box_head('LongTailBBoxHead'),
    ),
    'NMS, 1203 classes, 300 detections': (
        lambda: of_nms(False, C, 300),
        lambda: of_nms(True, C, 300),
    ),
    'NMS, 1203 classes, 10,000 detections': (
        lambda: of_nms(False, C, 10_000),
        lambda: of_nms(True, C, 10_000),
    ),
    'CAM calibration of one image, float32 (stock: its formula)': (
        lambda: of_calibration(False, False),
        lambda: of_calibration(True, False),
    ),
    'CAM calibration of one image, bfloat16 (stock: its formula)': (
        lambda: of_calibration(False, True),
        lambda: of_calibration(True, True),
    ),
}


def report(content: dict) -> str:
    about = (
        f'{C} classes, {ROIS} RoIs. MB that the allocator holds at the peak of a step, forward and '
        'backward where there is a loss, beyond what was there before. What is measured: the head '
        'of benchmarks/speed/memory.py.'
    )
    pairs = ((row['stage'], row['stock_mb'], row['ours_mb']) for row in content['rows'])
    rows = (
        (stage, f'{stock:.1f}', f'{ours:.1f}', f'{stock / ours:.1f}')
        for stage, stock, ours in pairs
    )
    columns = ('stage', 'stock MB', 'ours MB', 'stock / ours')
    return table_page('Peaks of memory', content, about, columns, rows)


def main() -> None:
    args = parse_args()
    register_all_modules(init_default_scope=True)
    torch.set_num_threads(1)
    content = origin(f'torch {torch.__version__}')
    content['rows'] = []
    for stage, contenders in STAGES.items():
        row = dict(stage=stage)
        for name, make in zip(('stock_mb', 'ours_mb'), contenders):
            torch.manual_seed(0)
            step = make()
            step()
            row[name] = round(peak_mb(step), 1)
        content['rows'].append(row)
        print(row, flush=True)
    torch.set_num_threads(os.cpu_count() or 1)
    stock_mb = training_mb(stock=True)
    for name, options in TRAINING.items():
        row = dict(stage=f'training step, 4 images, {name}', stock_mb=stock_mb)
        content['rows'].append(row | dict(ours_mb=training_mb(**options)))
        print(content['rows'][-1], flush=True)
    publish(args.out, 'memory', content, report(content))


if __name__ == '__main__':
    main()
