"""Time and memory of MMDetection and of lt_det where the cost of stock grows with the classes.

Every measurement is a process of its own, which runs the step once for its memory and once more for
its time; stock and ours take turns. Data are random, weights too.

    python benchmarks/many_class.py --device cpu

- mask logits: the predictor of the mask head and its loss on 128 RoIs of 256 x 28 x 28, forward and
  backward. Memory does not count the gradients of features and weights, which both return.
- NMS: 1000 proposals on 20 objects, boxes of each class, IoU 0.5, the best 300.
- predict + evaluate: Mask R-CNN R50-FPN on 2 images of 768 x 1024, 1000 proposals, 300 detections
  each, and the LVIS metrics of boxes and masks. 30% of the categories are judged in an image; stock
  is mmdet's LVISMetric with lvis-api.
- train step: forward, backward and update of the same model on 2 images with 30 objects each; of
  512 RoIs an image 128 are positive.

Writes benchmarks/results/many_class.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from lvis_evaluation import RESULTS, ROOT, cpu_seconds, median, reset_peak, status_mb
from origin import commit, machine, publish

NUM_CLASSES = 1203
HEIGHT, WIDTH = 768, 1024
GROWTH = (100, 300, 1000, 3000, 10_000)
CONTENDERS = ('stock', 'ours')
STAGES = {
    'mask logits': 'mask logits, forward + backward, 128 positives',
    'nms all': 'NMS, 1000 proposals, all scores above the threshold',
    'nms 20000': 'NMS, 1000 proposals, 20,000 scores above the threshold',
    'predict': 'predict + evaluate, 2 images of 768 x 1024, 300 detections',
    'train': 'train step, 2 images, 512 RoIs with 128 positives',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', default='cpu', help="of torch, e.g. 'cpu' or 'cuda'")
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--stages', nargs='*', default=list(STAGES), choices=list(STAGES))
    parser.add_argument('--growth', type=int, nargs='*', default=list(GROWTH), metavar='CLASSES')
    parser.add_argument(
        '--stock-limit',
        type=int,
        default=1000,
        metavar='CLASSES',
        help='in the growth curve, stock stops here (at 10,000 classes: 9 GB, and minutes of NMS)',
    )
    parser.add_argument('--out', default=str(RESULTS), help='folder of the results')
    parser.add_argument('--worker', nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


# -------------------------------------------------------------------------------------- the steps
# Each is made by a function of contender, number of classes and device, and returns what shows
# that both contenders do the same, and the MB that do not count as its own.


def mask_logits(contender: str, num_classes: int, device: str) -> Callable:
    import torch
    from mmdet.registry import MODELS

    kind = dict(stock='FCNMaskHead', ours='ClassIndexedMaskHead')[contender]
    head = MODELS.build(dict(type=kind, num_convs=0, num_classes=num_classes)).to(device)
    torch.nn.init.normal_(head.conv_logits.weight, std=0.05)
    features = torch.randn(128, 256, 28, 28).to(device).requires_grad_()
    labels = torch.randint(num_classes, (128,)).to(device)
    targets = torch.randint(2, (128, 28, 28)).float().to(device)
    parameters = [features, *head.conv_logits.parameters()]

    def step() -> tuple[float, float]:
        logits = head.conv_logits(features)
        if contender == 'stock':
            loss = head.loss_mask(logits, targets, labels)
        else:
            loss = head.loss_mask(logits.at(labels), targets, torch.zeros_like(labels))
        gradients = torch.autograd.grad(loss.sum(), parameters)
        check = loss.item() + sum(gradient.norm().item() for gradient in gradients)
        return check, sum(gradient.nbytes for gradient in gradients) / 2**20

    return step


def nms(contender: str, num_classes: int, device: str, above: int | None = None) -> Callable:
    import torch
    from mmdet.models.layers import multiclass_nms

    from lt_det.models.roi_heads.topk_nms import topk_multiclass_nms

    corner = torch.rand(20, 2) * torch.tensor([WIDTH, HEIGHT]) * 0.8
    objects = torch.cat([corner, corner + 30 + torch.rand(20, 2) * 170], 1)
    boxes = objects[torch.randint(20, (1000,)), None] + 5 * torch.randn(1000, num_classes, 4)
    scores = (3 * torch.randn(1000, num_classes + 1)).softmax(1)
    # as far below 1e-4 as no softmax goes here
    threshold = 0.0
    if above is not None:
        threshold = scores[:, :-1].flatten().sort(descending=True).values[above].item()
    boxes, scores = boxes.to(device), scores.to(device)
    stock_boxes = boxes.flatten(1)

    def step() -> tuple[float, float]:
        if contender == 'stock':
            cfg = dict(type='nms', iou_threshold=0.5)
            found = multiclass_nms(stock_boxes, scores, threshold, cfg, 300)[0][:, -1]
        else:
            found = topk_multiclass_nms(
                scores[:, :-1], lambda p, c: boxes[p, c], threshold, 0.5, 300
            )[1]
        return found.double().sum().item(), 0.0

    return step


def detector(contender: str, num_classes: int, device: str):
    """Mask R-CNN R50-FPN of the LVIS config with random weights, and its config."""
    from mmdet.registry import MODELS
    from mmengine.config import Config

    cfg = Config.fromfile(ROOT / 'configs/_base_/models/mask_rcnn_r50_fpn_lvis.py').model
    cfg.backbone.init_cfg = None
    heads = cfg.roi_head
    heads.bbox_head.num_classes = heads.mask_head.num_classes = num_classes
    if contender == 'stock':
        heads.bbox_head.type = 'ConvFCBBoxHead'
        heads.mask_head.type = 'FCNMaskHead'
    model = MODELS.build(cfg)
    model.init_weights()
    return model.to(device), cfg


def images_and_truth(num_classes: int) -> tuple[list, dict, list]:
    """Two images, LVIS annotations of 30 objects in each, and data samples with them."""
    import numpy as np
    import torch
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    rng = np.random.default_rng(0)
    truth = {
        'images': [],
        'annotations': [],
        'categories': [
            {'id': c + 1, 'name': f'c{c}', 'frequency': 'rcf'[c % 3]} for c in range(num_classes)
        ],
    }
    samples = []
    for image_id in (1, 2):
        labels = rng.integers(0, num_classes, 30)
        corner = rng.random((30, 2)) * [WIDTH - 250, HEIGHT - 250]
        boxes = np.hstack([corner, corner + 40 + rng.random((30, 2)) * 200]).astype(np.float32)
        masks = np.zeros((30, HEIGHT, WIDTH), dtype=np.uint8)
        for mask, label, (x1, y1, x2, y2) in zip(masks, labels, boxes.astype(int).tolist()):
            mask[y1:y2, x1:x2] = 1
            truth['annotations'].append(
                {
                    'id': len(truth['annotations']) + 1,
                    'image_id': image_id,
                    'category_id': int(label) + 1,
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': (x2 - x1) * (y2 - y1),
                    'segmentation': [[x1, y1, x2, y1, x2, y2, x1, y2]],
                }
            )
        absent = np.setdiff1d(np.arange(num_classes), labels)
        absent = rng.choice(absent, max(int(0.3 * num_classes) - 30, 0), replace=False) + 1
        truth['images'].append(
            {
                'id': image_id,
                'height': HEIGHT,
                'width': WIDTH,
                'neg_category_ids': absent.tolist(),
                'not_exhaustive_category_ids': [],
            }
        )
        shape = dict(img_shape=(HEIGHT, WIDTH), ori_shape=(HEIGHT, WIDTH), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=dict(img_id=image_id, **shape))
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(labels),
            masks=BitmapMasks(masks, HEIGHT, WIDTH),
        )
        samples.append(sample)
    return [torch.randint(256, (3, HEIGHT, WIDTH)).byte() for _ in samples], truth, samples


def predict(contender: str, num_classes: int, device: str) -> Callable:
    import logging

    import numpy as np
    import torch
    from mmdet.evaluation import LVISMetric

    from lt_det.evaluation.lvis_metric import LongTailLVISMetric

    logging.disable(logging.ERROR)
    np.float = float  # lvis 0.5.3 needs numpy < 1.24
    model, _ = detector(contender, num_classes, device)
    # not so small that the scores of all classes are alike
    torch.nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.05)
    model.eval()
    images, truth, samples = images_and_truth(num_classes)
    kind = LVISMetric if contender == 'stock' else LongTailLVISMetric
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'annotations.json')
        path.write_text(json.dumps(truth))
        metric = kind(ann_file=str(path), metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=[c['name'] for c in truth['categories']])

    def step() -> tuple[float, float]:
        with torch.no_grad():
            found = model.test_step(dict(inputs=images, data_samples=samples))
        number = sum(len(sample.pred_instances) for sample in found)
        if number != 600:
            raise RuntimeError(f'{number} detections instead of 300 in each image')
        check = sum(sample.pred_instances.scores.double().sum().item() for sample in found)
        metric.process({}, [sample.to_dict() for sample in found])
        metric.evaluate(2)
        return check, 0.0

    return step


def train(contender: str, num_classes: int, device: str) -> Callable:
    import torch
    from mmengine.structures import InstanceData

    model, cfg = detector(contender, num_classes, device)
    model.train()
    images, _, samples = images_and_truth(num_classes)
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
    proposals = []
    for sample in data['data_samples']:
        # boxes on the objects, enough for the 128 positives, and boxes anywhere
        boxes = sample.gt_instances.bboxes
        near = boxes.repeat(20, 1) + 4 * torch.randn(600, 4, device=boxes.device)
        corner = torch.rand(1000, 2, device=boxes.device) * boxes.new_tensor([WIDTH, HEIGHT])
        far = torch.cat([corner, corner + 20], 1)
        proposals.append(torch.cat([near, far]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    rpn_cfg = cfg.train_cfg.rpn_proposal

    def step() -> tuple[float, float]:
        # the same RoIs for both contenders
        torch.manual_seed(0)
        features = model.extract_feat(data['inputs'])
        losses, _ = model.rpn_head.loss_and_predict(features, rpn_samples(data), rpn_cfg)
        losses = {f'rpn_{key}': value for key, value in losses.items()}
        given = [InstanceData(bboxes=boxes, scores=boxes[:, 0]) for boxes in proposals]
        losses.update(model.roi_head.loss(features, given, data['data_samples']))
        loss, _ = model.parse_losses(losses)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item(), 0.0

    return step


def rpn_samples(data: dict) -> list:
    """Data samples whose objects have one label, as TwoStageDetector makes them for its RPN."""
    samples = [sample.clone() for sample in data['data_samples']]
    for sample in samples:
        sample.gt_instances.labels = sample.gt_instances.labels * 0
    return samples


MAKE = {
    'mask logits': mask_logits,
    'nms all': nms,
    'nms 20000': lambda *args: nms(*args, above=20_000),
    'predict': predict,
    'train': train,
}


# ---------------------------------------------------------------------------------- measurements


def work(stage: str, contender: str, num_classes: int, device: str) -> dict:
    """One measurement in this process."""
    import torch

    import lt_det  # noqa: F401  (before mmdet)

    # isort: split
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    accelerated = torch.device(device).type != 'cpu'
    step = MAKE[stage](contender, num_classes, device)
    if accelerated:
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated() / 2**20
    else:
        reset_peak()
        base = status_mb('VmRSS')
    check, theirs = step()
    peak = torch.cuda.max_memory_allocated() / 2**20 if accelerated else status_mb('VmHWM')
    if accelerated:
        torch.cuda.synchronize()
    cpu, begin = cpu_seconds(), time.perf_counter()
    step()
    if accelerated:
        torch.cuda.synchronize()
    return {
        's': time.perf_counter() - begin,
        'cpu_s': cpu_seconds() - cpu,
        'mb': max(peak - base - theirs, 0),
        'check': check,
    }


def measure(stage: str, contender: str, num_classes: int, device: str) -> dict:
    command = [sys.executable, __file__, '--worker', stage, contender, str(num_classes), device]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{stage}, {contender} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def compare(args: argparse.Namespace, stage: str, num_classes: int, contenders=CONTENDERS) -> dict:
    """A row: medians of the repeats, in which the contenders take turns."""
    found: dict[str, list[dict]] = {contender: [] for contender in contenders}
    for turn in range(args.repeats):
        for contender in contenders:
            print(
                f'{time.strftime("%H:%M:%S")} {stage}, {num_classes} classes, {contender}, '
                f'{turn + 1} of {args.repeats}',
                flush=True,
            )
            found[contender].append(measure(stage, contender, num_classes, args.device))
    values = {'stage': STAGES[stage], 'classes': num_classes, 'repeats': args.repeats}
    for contender, results in found.items():
        for key in ('s', 'cpu_s', 'mb'):
            values[f'{contender}_{key}'] = round(median(results, key), 4)
        values[f'{contender}_check'] = results[0]['check']
    if 'stock' in found:
        values['speedup'] = round(values['stock_s'] / values['ours_s'], 2)
    return values


def run(args: argparse.Namespace) -> dict:
    rows = [compare(args, stage, NUM_CLASSES) for stage in args.stages]
    growth = [
        compare(args, stage, number, CONTENDERS if number <= args.stock_limit else ('ours',))
        for stage in ('mask logits', 'nms all')
        for number in args.growth
    ]
    return {'rows': rows, 'growth': growth}


# ---------------------------------------------------------------------------------------- report


def table(rows: list[dict], first: str) -> list[str]:
    keys = ('stock_s', 'ours_s', 'speedup', 'stock_cpu_s', 'ours_cpu_s', 'stock_mb', 'ours_mb')
    digits = dict(stock_mb=1, ours_mb=1, speedup=1)
    lines = [
        f'| {first} | stock s | ours s | speedup | stock CPU s | ours CPU s | stock MB | ours MB '
        '| stock check | ours check |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        cells = [f'{row[key]:.{digits.get(key, 3)}f}' if key in row else '-' for key in keys]
        checks = [row.get(f'{contender}_check') for contender in CONTENDERS]
        cells += ['-' if check is None else f'{check:.7g}' for check in checks]
        name = row['stage'] if first == 'stage' else f'{row["stage"]}: {row["classes"]:,}'
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return lines


def report(content: dict) -> str:
    lines = [
        '# A thousand classes',
        '',
        f'{content["date"]}, {content["machine"]}, device {content["device"]}, commit '
        f'{content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        f'{NUM_CLASSES} classes. Medians. CPU seconds are the steadier number where other work '
        'shares the machine. Memory is the peak above what the process had before the step. The '
        'check is a sum over results (loss and gradients, scores), which the contenders share to '
        'rounding. What is measured: the head of benchmarks/many_class.py.',
        '',
        *table(content['rows'], 'stage'),
    ]
    if content['growth']:
        lines += ['', 'Growth with the number of classes (many_class.png):', '']
        lines += table(content['growth'], 'stage: classes')
    return '\n'.join(lines) + '\n'


def plot(growth: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot as plt

    stages = list(dict.fromkeys(row['stage'] for row in growth))
    figure, axes = plt.subplots(1, len(stages), figsize=(5 * len(stages), 3.6), squeeze=False)
    for axis, stage in zip(axes[0], stages):
        for contender in CONTENDERS:
            key = f'{contender}_cpu_s'
            points = [
                (row['classes'], row[key]) for row in growth if row['stage'] == stage and key in row
            ]
            axis.loglog(*zip(*points), marker='o', label=contender)
        axis.set(title=stage, xlabel='classes', ylabel='CPU seconds')
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    args = parse_args()
    if args.worker:
        stage, contender, num_classes, device = args.worker
        print(json.dumps(work(stage, contender, int(num_classes), device)))
        return
    import torch

    content = {
        'date': date.today().isoformat(),
        'command': ' '.join(['python benchmarks/many_class.py', *sys.argv[1:]]),
        'machine': f'{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads',
        'device': args.device,
        'commit': commit(),
        **run(args),
    }
    publish(args.out, 'many_class', content, report(content))
    if content['growth']:
        plot(content['growth'], Path(args.out) / 'many_class.png')


if __name__ == '__main__':
    main()
