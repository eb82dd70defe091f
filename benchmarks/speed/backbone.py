"""What switches of the backbone save, and that results stay: on a CPU, or a GPU with --device.

A training step (forward, backward) and a forward pass of ResNet-50 with its FPN, as MMDetection
runs it, in turn in one process: with the switches of BackboneHook (channels last, compiled, norms
folded into weights) and combinations of them, and with MMDetection's ``with_cp``, which computes
activations anew in the backward pass. On a CPU one thread, and seconds of CPU time, which other
work on the machine disturbs least. Memory is what torch's allocator holds at the peak of a step,
beyond what was there before it.

    python benchmarks/speed/backbone.py

writes benchmarks/results/backbone.json and .md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish, table_page

SWITCHES = {
    'stock': {},
    'channels last': dict(channels_last=True),
    'folded': dict(fold_norms=True),
    'folded, channels last': dict(fold_norms=True, channels_last=True),
    'compiled': dict(compile=True),
    'compiled, channels last': dict(compile=True, channels_last=True),
    'compiled, folded, channels last': dict(compile=True, fold_norms=True, channels_last=True),
    'with_cp': {},
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--size', type=int, nargs=2, default=(800, 1344), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument(
        '--switches',
        nargs='+',
        choices=tuple(SWITCHES)[1:],
        default=tuple(SWITCHES)[1:],
        help='compiling takes minutes',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
import torch
from common.allocations import peak_mb
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor, nn

from lt_det.engine import BackboneHook


class Features(nn.Module):
    """Backbone and neck of the LVIS configs with random weights."""

    def __init__(self, with_cp: bool) -> None:
        super().__init__()
        model = Config.fromfile(ROOT / 'configs/_base_/models/mask_rcnn_r50_fpn_lvis.py').model
        model.backbone.init_cfg = None
        model.backbone.with_cp = with_cp
        torch.manual_seed(0)
        self.backbone = MODELS.build(model.backbone)
        self.neck = MODELS.build(model.neck)
        self.backbone.init_weights()
        self.neck.init_weights()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.neck(self.backbone(images))


def clocked(function: Callable[[], None], device: str) -> float:
    if device == 'cpu':
        begin = time.process_time()
        function()
        return time.process_time() - begin
    torch.cuda.synchronize()
    begin = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def measure(args: argparse.Namespace) -> list[dict]:
    register_all_modules(init_default_scope=True)
    images = torch.randn(args.batch, 3, *args.size, device=args.device)
    models = {}
    for name in ('stock', *args.switches):
        options = SWITCHES[name]
        models[name] = Features(with_cp=name == 'with_cp').to(args.device).train()
        if options:
            BackboneHook(**options).before_run(SimpleNamespace(model=models[name]))

    def train(model: Features) -> None:
        model.zero_grad(set_to_none=True)
        sum(level.square().mean() for level in model(images)).backward()

    def test(model: Features) -> None:
        with torch.no_grad():
            model(images)

    stages = {'training step': train, 'forward pass in a test': test}
    rows = []
    for stage, step in stages.items():
        first, results = {}, {}
        for name, model in models.items():
            model.train(step is train)
            begin = time.perf_counter()
            step(model)  # which compiles
            first[name] = time.perf_counter() - begin
            with torch.no_grad():
                results[name] = [level.double() for level in model(images)]
            if step is train:
                results[name] += [model.backbone.layer4[0].conv1.weight.grad.double()]
        times = {name: [] for name in models}
        for _ in range(args.repeats):
            for name, model in models.items():
                times[name].append(clocked(lambda s=step, m=model: s(m), args.device))
        peaks = {
            name: peak_mb(lambda s=step, m=model: s(m), args.device)
            for name, model in models.items()
        }
        stock = statistics.median(times['stock'])
        for name in models:
            pairs = zip(results[name], results['stock'])
            apart = max(float((a - b).norm() / b.norm()) for a, b in pairs)
            median = statistics.median(times[name])
            rows.append(
                {
                    'stage': stage,
                    'switches': name,
                    's': round(median, 4),
                    'speedup': round(stock / median, 3),
                    'mb': round(peaks[name], 1),
                    'first_s': round(first[name], 1),
                    'apart': float(f'{apart:.2g}'),
                }
            )
            print(rows[-1], flush=True)
    return rows


def report(content: dict) -> str:
    about = (
        f'ResNet-50 with FPN, batch of {content["images"]}, {content["size"]} pixels, on '
        f'{content["device"]}, medians of {content["repeats"]} in turn. What is measured: the head '
        'of benchmarks/speed/backbone.py. The first call compiles what no row above has compiled. '
        'Apart: norm of the difference of features, and of the gradient of a weight, relative to '
        'those of stock.'
    )
    columns = ('stage', 'switches', 's', 'speedup', 'peak MB', 'first call s', 'apart')
    rows = (
        (
            *(row['stage'], row['switches'], f'{row["s"]:.3f}', f'{row["speedup"]:.2f}'),
            *(f'{row["mb"]:.0f}', f'{row["first_s"]:.1f}', f'{row["apart"]:.1e}'),
        )
        for row in content['rows']
    )
    return table_page('Switches of the backbone', content, about, columns, rows)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    content = origin('one thread', f'torch {torch.__version__}')
    content |= dict(device=args.device, images=args.batch, repeats=args.repeats)
    content['size'] = f'{args.size[0]} x {args.size[1]}'
    with tempfile.TemporaryDirectory() as folder:  # nothing that was compiled before
        os.environ['TORCHINDUCTOR_CACHE_DIR'] = folder
        content['rows'] = measure(args)
    publish(args.out, 'backbone', content, report(content))


if __name__ == '__main__':
    main()
