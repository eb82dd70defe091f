"""Time and memory of NMS in dense heads, and of class-specific box regression, at 1203 classes.

Every measurement is a process of its own, which runs the step once for its memory and once more for
its time; stock and ours take turns. Data are random.

    python benchmarks/speed/dense_nms.py

- NMS: ``_bbox_post_process`` of a RetinaNet head, of candidates on 20 objects, IoU 0.5, the best
  300; stock takes the classes in turn from 10,000 candidates on. 5,000 are nms_pre=1000 in five
  levels, 30,000 the nms_pre of RTMDet.
- box regression: LongTailBBoxHead with and without ``class_indexed_reg``. Training is the predictor
  and its loss, forward and backward, of 1024 RoIs with 256 positives; memory does not count the
  gradients, which both return. Test is the prediction of an image with 1000 proposals, the best
  300.

Writes benchmarks/results/dense_nms.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish
from common.process import measure, median, with_peak

NUM_CLASSES = 1203
CONTENDERS = ('stock', 'ours')


def nms(candidates: int, num_labels: int, contender: str, device: str) -> Callable:
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.structures import InstanceData

    from lt_det.models.dense_nms import use_topk_nms

    cfg = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), min_bbox_size=0, max_per_img=300)
    head = MODELS.build(dict(type='RetinaHead', num_classes=NUM_CLASSES, in_channels=4))
    if contender == 'ours':
        use_topk_nms(head)
    corner = torch.rand(20, 2) * 900
    objects = torch.cat([corner, corner + 30 + torch.rand(20, 2) * 170], 1)
    boxes = objects[torch.randint(20, (candidates,))] + 5 * torch.randn(candidates, 4)
    classes = torch.randperm(NUM_CLASSES)[:num_labels]
    given = dict(
        bboxes=boxes,
        scores=torch.rand(candidates).pow(4),
        labels=classes[torch.randint(num_labels, (candidates,))],
    )
    given = {name: value.to(device) for name, value in given.items()}

    def step() -> tuple[float, float]:
        found = head._bbox_post_process(InstanceData(**given), cfg)
        return found.scores.double().sum().item(), 0.0

    return step


def box_head(contender: str, device: str):
    import torch
    from mmdet.registry import MODELS

    head = MODELS.build(
        dict(
            type='LongTailBBoxHead',
            num_shared_fcs=1,
            in_channels=8,
            fc_out_channels=1024,
            num_classes=NUM_CLASSES,
            class_indexed_reg=contender == 'ours',
        )
    )
    head.init_weights()
    torch.nn.init.normal_(head.fc_cls.weight, std=0.2)
    return head.to(device)


def train_regression(contender: str, device: str) -> Callable:
    import torch

    head = box_head(contender, device)
    x = torch.randn(1024, 1024).to(device).requires_grad_()
    labels = torch.full((1024,), NUM_CLASSES)
    labels[:256] = torch.randint(NUM_CLASSES, (256,))
    targets = torch.randn(1024, 4).to(device), torch.ones(1024, 4).to(device)
    labels = labels.to(device)

    def step() -> tuple[float, float]:
        loss = head.loss(None, head.fc_reg(x), None, labels, None, *targets)['loss_bbox']
        gradients = torch.autograd.grad(loss, [x, *head.fc_reg.parameters()])
        check = loss.item() + sum(gradient.norm().item() for gradient in gradients)
        return check, sum(gradient.nbytes for gradient in gradients) / 2**20

    return step


def test_regression(contender: str, device: str) -> Callable:
    import torch
    from mmengine.config import ConfigDict

    head = box_head(contender, device).eval()
    x = torch.randn(1000, 8, 7, 7).to(device)
    corner = torch.rand(1000, 2) * 900
    rois = torch.cat([torch.zeros(1000, 1), corner, corner + 30 + torch.rand(1000, 2) * 90], 1)
    rois = rois.to(device)
    cfg = ConfigDict(score_thr=1e-4, nms=dict(type='nms', iou_threshold=0.5), max_per_img=300)
    meta = dict(img_shape=(1000, 1000), scale_factor=(1.0, 1.0))

    def step() -> tuple[float, float]:
        with torch.no_grad():
            logits, deltas = head(x)
            (found,) = head.predict_by_feat((rois,), (logits,), (deltas,), [meta], cfg)
        return found.scores.double().sum().item(), 0.0

    return step


STAGES = {
    'NMS, 5,000 candidates': partial(nms, 5000, NUM_CLASSES),
    'NMS, 10,000 candidates': partial(nms, 10_000, NUM_CLASSES),
    'NMS, 30,000 candidates': partial(nms, 30_000, NUM_CLASSES),
    'NMS, 100,000 candidates': partial(nms, 100_000, NUM_CLASSES),
    'NMS, 30,000 candidates of 20 classes': partial(nms, 30_000, 20),
    'box regression, training': train_regression,
    'box regression, test': test_regression,
}


def work(stage: str, contender: str, device: str) -> dict:
    """One measurement in this process."""
    import torch

    import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

    # isort: split
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    accelerated = torch.device(device).type != 'cpu'
    step = STAGES[stage](contender, device)
    check, peak = with_peak(step, accelerated)
    begin = time.perf_counter() if accelerated else time.process_time()
    step()  # ends with a number on the host
    end = time.perf_counter() if accelerated else time.process_time()
    return {'s': end - begin, 'mb': peak, 'check': check}


def compare(args: argparse.Namespace, stage: str) -> dict:
    """A row: medians of the repeats, in which the contenders take turns."""
    found: dict[str, list[dict]] = {contender: [] for contender in CONTENDERS}
    for _ in range(args.repeats):
        for contender, results in found.items():
            results.append(measure(__file__, stage, contender, args.device))
    row = {'stage': stage, 'repeats': args.repeats}
    for contender, results in found.items():
        row[f'{contender}_s'] = round(median(results, 's'), 5)
        row[f'{contender}_mb'] = round(median(results, 'mb'), 1)
        row[f'{contender}_check'] = results[0]['check']
    row['speedup'] = round(row['stock_s'] / row['ours_s'], 2)
    print(f'{stage}: {row["stock_s"]:.4f} s, ours {row["ours_s"]:.4f} s', flush=True)
    return row


def report(content: dict) -> str:
    lines = [
        '# NMS in dense heads, and class-specific box regression',
        '',
        f'{content["date"]}, {content["machine"]}, device {content["device"]}, commit '
        f'{content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        f'{NUM_CLASSES} classes. Medians; on a CPU, seconds are processor time. Memory '
        'is the peak above what the process had before the step. The check is a sum over results '
        '(scores of the detections; loss and gradients), which both share to rounding. What is '
        'measured: the head of benchmarks/speed/dense_nms.py.',
        '',
        '| stage | stock s | ours s | speedup | stock MB | ours MB | stock check | ours check |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for row in content['rows']:
        lines.append(
            f'| {row["stage"]} | {row["stock_s"]:.4f} | {row["ours_s"]:.4f} | {row["speedup"]:.1f} '
            f'| {row["stock_mb"]:.1f} | {row["ours_mb"]:.1f} | {row["stock_check"]:.7g} '
            f'| {row["ours_check"]:.7g} |'
        )
    return '\n'.join(lines) + '\n'


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--device', default='cpu', help="of torch, e.g. 'cpu' or 'cuda'")
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--stages', nargs='*', default=list(STAGES), choices=list(STAGES))
    parser.add_argument('--worker', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(work(*args.worker)))
        return
    import torch

    content = origin(f'torch {torch.__version__}, one thread')
    content['device'] = args.device
    content['rows'] = [compare(args, stage) for stage in args.stages]
    publish(args.out, 'dense_nms', content, report(content))


if __name__ == '__main__':
    main()
