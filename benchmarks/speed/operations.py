"""What the host has to do for a training step: operations to start, and values to wait for.

A GPU is often faster than the host that starts its operations, and a value that the host reads
(``.item()``, ``nonzero``) or copies to it makes it wait until the GPU is done with all before. Both
numbers are those of the code, the same on every machine and at every size of image. They are
counted on a GPU that is not there (benchmarks/common/mock_gpu.py): Mask R-CNN R50 with few
channels, with its LVIS config as it is and with MMDetection's own parts in the place of ours.
Then the time and the memory of assigning objects to the anchors of an image of 800 x 1333 pixels
and to 2,000 proposals, of drawing 256 of the anchors, and of NMS among the candidates of an RPN, on
one thread.

    python benchmarks/speed/operations.py

writes benchmarks/results/operations.json and .md.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish, table_page


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--images', type=int, default=16)
    parser.add_argument('--objects', type=int, nargs='+', default=(12, 100), help='in an image')
    parser.add_argument('--repeats', type=int, default=9)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
from speed.gpu_steps.detectors import STOCK, build, make_batch, num_classes

# isort: split
import torch
from common.allocations import peak_mb
from common.mock_gpu import MockGpu
from mmdet.models.dense_heads import RPNHead
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData
from speed.gpu_steps.context import Context
from speed.gpu_steps.training_cost import make_step

from lt_det.models.quick_rpn_head import QuickRPNHead
from lt_det.models.task_modules import QuickRandomSampler, VectorizedMaxIoUAssigner

R50 = {'model.backbone.depth': 50, 'model.neck.in_channels': [32, 64, 128, 256]}
RPN = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
ANCHORS, PROPOSALS = 268_569, 2000


def steps(images: int, objects: int, fold_norms: bool = False) -> dict:
    context = Context(MockGpu().device, toy=True, folder=Path())
    setting = ', fold_norms=True' if fold_norms else ''
    row = dict(stage=f'training step, {images} images of {objects} objects{setting}')
    for contender, changes in (('stock', STOCK), ('ours', {})):
        fold = fold_norms and contender == 'ours'
        model = build(context, R50 | changes, fold_norms=fold).train()
        stock = contender == 'stock'
        batch = make_batch(images, (96, 128), objects, num_classes(context), stock=stock)
        step = make_step(context, model, batch, torch.float32)
        step()  # what is made once
        with MockGpu() as gpu:
            step()
        row |= {
            f'{contender}_operations': gpu.operations,
            f'{contender}_waits': sum(gpu.waits.values()),
        }
        if not stock:
            row['waits_of_lt_det'] = gpu.waits_in('lt_det/')
    return row


def assigning(boxes: int, objects: int, repeats: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    overlaps = torch.rand(objects, boxes, generator=generator)
    labels = torch.arange(objects)
    calls = {
        name: partial(kind(**RPN).assign_wrt_overlaps, overlaps, labels)
        for name, kind in dict(stock=MaxIoUAssigner, ours=VectorizedMaxIoUAssigner).items()
    }
    stock, ours = (call() for call in calls.values())
    assert torch.equal(stock.gt_inds, ours.gt_inds)
    return compared(f'assigning {objects} objects to {boxes:,} boxes', calls, repeats)


def drawing(boxes: int, repeats: int) -> dict:
    gallery = torch.arange(boxes)
    calls = {
        name: partial(kind(num=256, pos_fraction=0.5).random_choice, gallery, 256)
        for name, kind in dict(stock=RandomSampler, ours=QuickRandomSampler).items()
    }
    return compared(f'drawing 256 of {boxes:,} boxes', calls, repeats)


def proposing(repeats: int) -> dict:
    """NMS among candidates with random scores, at random places about anchors of an image."""
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/mask_rcnn_r50_fpn_lvis.py').model
    heads = {
        name: MODELS.build({**cfg.rpn_head, 'type': kind, 'num_classes': 1})
        for name, kind in dict(stock=RPNHead, ours=QuickRPNHead).items()
    }
    sizes = [(-(-800 // stride), -(-1333 // stride)) for stride in (4, 8, 16, 32, 64)]
    generator = torch.Generator().manual_seed(0)
    boxes, levels = [], []
    for level, anchors in enumerate(
        heads['stock'].prior_generator.grid_priors(sizes, device='cpu')
    ):
        number = min(len(anchors), cfg.train_cfg.rpn_proposal.nms_pre)
        # about places of which there are a quarter as many
        places = torch.randperm(len(anchors), generator=generator)[: number // 4]
        chosen = places[torch.arange(number) % len(places)]
        side = anchors[chosen, 2:] - anchors[chosen, :2]
        moved = torch.randn(len(chosen), 2, generator=generator) * side / 8
        boxes.append(anchors[chosen] + moved.repeat(1, 2))
        levels.append(torch.full((len(chosen),), level))
    boxes, levels = torch.cat(boxes), torch.cat(levels)
    results = InstanceData(
        bboxes=boxes, scores=torch.rand(len(boxes), generator=generator), level_ids=levels
    )
    calls = {
        name: lambda head=head: head._bbox_post_process(results.clone(), cfg.train_cfg.rpn_proposal)
        for name, head in heads.items()
    }
    stock, ours = (call() for call in calls.values())
    assert torch.equal(stock.bboxes, ours.bboxes)
    return compared(f'the best {len(ours)} of {len(boxes):,} candidates after NMS', calls, repeats)


def compared(stage: str, calls: dict[str, Callable], repeats: int) -> dict:
    """A row: medians of the time of calls that take turns, and their peaks of memory."""
    row: dict = dict(stage=stage)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            times[name].append(time.process_time() - begin)
    for name, call in calls.items():
        row[f'{name}_s'] = round(statistics.median(times[name]), 5)
        row[f'{name}_mb'] = round(peak_mb(call), 2)
    return row


def report(content: dict) -> str:
    about = (
        'Operations: calls of the dispatcher of torch that make values, in forward pass, backward '
        'pass and update. Waits: values that the host reads, and copies to the GPU. The peak of '
        'memory is beyond the overlaps. What is measured: the head of '
        'benchmarks/speed/operations.py.'
    )
    names = ('operations', 'waits', 's', 'mb')
    columns = [
        'stage',
        *(f'{who} {name.replace("mb", "MB")}' for name in names for who in ('stock', 'ours')),
    ]
    rows = (
        (
            row['stage'],
            *(str(row.get(f'{who}_{name}', '')) for name in names for who in ('stock', 'ours')),
        )
        for row in content['rows']
    )
    return table_page('What the host does', content, about, columns, rows)


def main() -> None:
    args = parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    content = origin('one thread', f'torch {torch.__version__}')
    content['rows'] = [steps(args.images, objects) for objects in args.objects]
    content['rows'].append(steps(args.images, args.objects[0], fold_norms=True))
    content['rows'] += [
        assigning(boxes, objects, args.repeats)
        for boxes in (ANCHORS, PROPOSALS)
        for objects in (1, 12, 100, 300)
    ]
    content['rows'].append(proposing(5 * args.repeats))
    content['rows'] += [drawing(boxes, 5 * args.repeats) for boxes in (ANCHORS, PROPOSALS)]
    publish(args.out, 'operations', content, report(content))


if __name__ == '__main__':
    main()
