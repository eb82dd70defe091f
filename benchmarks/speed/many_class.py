"""Time and memory of MMDetection and of lt_det where the cost of stock grows with the classes.

Every measurement is a process of its own, which runs the step once for its memory and once more for
its time; stock and ours take turns. Data are random, weights too.

    python benchmarks/speed/many_class.py --device cpu

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
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish
from common.process import cpu_seconds, measure, median, with_peak

NUM_CLASSES = 1203
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
    parser = option_parser(__doc__)
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
    parser.add_argument('--worker', nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


# ---------------------------------------------------------------------------------- measurements


def work(stage: str, contender: str, num_classes: int, device: str) -> dict:
    """One measurement in this process."""
    import torch
    from mmdet.utils import register_all_modules
    from speed.many_class_steps import MAKE

    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    accelerated = torch.device(device).type != 'cpu'
    step = MAKE[stage](contender, num_classes, device)
    check, peak = with_peak(step, accelerated)
    if accelerated:
        torch.cuda.synchronize()
    cpu, begin = cpu_seconds(), time.perf_counter()
    step()
    if accelerated:
        torch.cuda.synchronize()
    return {
        's': time.perf_counter() - begin,
        'cpu_s': cpu_seconds() - cpu,
        'mb': peak,
        'check': check,
    }


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
            found[contender].append(
                measure(__file__, stage, contender, str(num_classes), args.device)
            )
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
        'rounding. What is measured: the head of benchmarks/speed/many_class.py.',
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

    where = origin(f'torch {torch.__version__}, {torch.get_num_threads()} threads')
    content = {**where, 'device': args.device, **run(args)}
    publish(args.out, 'many_class', content, report(content))
    if content['growth']:
        plot(content['growth'], Path(args.out) / 'many_class.png')


if __name__ == '__main__':
    main()
