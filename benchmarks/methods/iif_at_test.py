"""IIF at test on softmax detectors: what a weight does to negative logits, and around a pivot.

A weight above 1 lowers a negative logit, and rare classes often have negative logits on their own
objects. Multiplied around a pivot z0 the map is w_c (z_c - z0) + z0. Tried are the logit of the
background of the same RoI, and the mean logit of the class over the RoIs of all training images;
each with the weights as they are and divided by their mean, beside plain IIF, and NorCal and
FRACAL, which add. The detectors are the softmax ones of methods_detection.py, whose runs are used.

    python benchmarks/methods/iif_at_test.py --size demo --epochs 3

writes benchmarks/results/iif_at_test.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish, spread, table_page

SHOWN = ('segm_AP', 'segm_APr', 'segm_APc', 'segm_APf', 'bbox_AP')
RULES: dict[str, dict | None] = {
    'softmax': None,
    'NorCal': dict(type='NorCal', gamma=0.5),
    'FRACAL': dict(type='FRACAL', lam=2.0),
    'IIF': dict(type='IIF', link='smooth', stage='test'),
    'IIF, mean 1': dict(type='IIF', link='smooth', norm='mean', stage='test'),
    'around the background': dict(type='PivotedIIF', pivot_at='background'),
    'around the background, mean 1': dict(type='PivotedIIF', pivot_at='background', norm='mean'),
    "around the class's mean": dict(type='PivotedIIF', pivot_at='class'),
    "around the class's mean, mean 1": dict(type='PivotedIIF', pivot_at='class', norm='mean'),
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--size', default='bench', help='of the data set')
    parser.add_argument('--epochs', type=int, default=12)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, help='of methods_detection.py')
    args = parser.parse_args()
    args.data, args.num_workers = f'data/glyphs/{args.size}', 1
    name = f'{args.size}_{args.epochs}e'
    args.work_dir = args.work_dir or Path(f'work_dirs/methods_detection/{name}')
    return args


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import torch
from methods import methods_detection
from mmengine.runner import Runner
from torch import Tensor

from lt_det.adjustments import IIF, register_adjustment


@register_adjustment
class PivotedIIF(IIF):
    """``w_c (z_c - z0) + z0``, z0: the background's logit, or means (C,) of the classes."""

    def __init__(self, pivot_at: str, **kwargs) -> None:
        super().__init__(link='smooth', stage='test', **kwargs)
        self.means: Tensor | None = None if pivot_at == 'background' else torch.zeros(0)

    @property
    def affine(self) -> bool:
        return False

    def adjusted(self, logits: Tensor, dim: int, inplace: bool) -> Tensor:
        pivot = logits[:, -1:] if self.means is None else self.means.to(logits)
        return self.scale * (logits - pivot) + pivot


def mean_logits(runner: Runner) -> Tensor:
    """Mean logits (C + 1,) over the RoIs of the training images."""
    head = runner.model.roi_head.bbox_head
    total, rows = 0.0, 0

    def look(_, __, logits: Tensor) -> None:
        nonlocal total, rows
        total, rows = total + logits.double().sum(0), rows + len(logits)

    handle = head.fc_cls.register_forward_hook(look)
    runner.model.eval()
    dataset = runner.test_dataloader.dataset
    with torch.no_grad():
        for index in range(len(dataset)):
            item = dataset[index]
            batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
            runner.model.test_step(batch)
    handle.remove()
    return total / rows


def train_means(args: argparse.Namespace, seed: int, checkpoint: Path) -> Tensor:
    cfg = methods_detection.config(args, 'softmax', seed)
    training = cfg.train_dataloader.dataset
    cfg.test_dataloader.dataset.ann_file = training.ann_file
    cfg.test_dataloader.dataset.data_prefix = training.data_prefix
    cfg.load_from = str(checkpoint)
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    return mean_logits(runner)


def run(args: argparse.Namespace, name: str, seed: int, means: Tensor) -> dict[str, float]:
    cfg = methods_detection.config(args, 'softmax', seed)
    cfg.load_from = str(checkpoint_of(args, seed))
    cfg.work_dir = str(args.work_dir / 'iif_at_test')
    cfg.experiment_name = f'{"".join(filter(str.isalnum, name))}_{seed}'
    if RULES[name]:
        cfg.merge_from_dict({methods_detection.HEAD + 'adjustment': RULES[name]})
    runner = Runner.from_cfg(cfg)
    rule = getattr(runner.model.roi_head.bbox_head, 'adjustment', None)
    if isinstance(rule, PivotedIIF) and rule.means is not None:
        rule.means = means
    metrics = {key.split('/')[-1]: float(value) for key, value in runner.test().items()}
    return {key: metrics[key] for key in SHOWN}


def checkpoint_of(args: argparse.Namespace, seed: int) -> Path:
    (checkpoint,) = (args.work_dir / 'softmax' / str(seed)).glob('iter_*.pth')
    return checkpoint


def main() -> None:
    args = parse_args()
    args.pretrained = methods_detection.pretrained(args)
    where = origin(f'torch {torch.__version__}')
    rows = []
    for seed in args.seeds:
        means = train_means(args, seed, checkpoint_of(args, seed))
        for name in RULES:
            rows.append(dict(rule=name, seed=seed, metrics=run(args, name, seed, means)))
            print(json.dumps(rows[-1]), flush=True)
    content = dict(where, rows=rows)
    cells = []
    for name in RULES:
        mine = [row['metrics'] for row in rows if row['rule'] == name]
        cells.append([name, *(spread([metrics[key] for metrics in mine]) for key in SHOWN)])
    about = (
        'Softmax detectors of `benchmarks/methods/methods_detection.py`, rules at test alone; '
        'mean and standard deviation over seeds; AP in 0..1 of masks, box AP last. '
        '`benchmarks/methods/iif_at_test.py` says what the rules are.'
    )
    columns = ('rule', 'AP', 'APr', 'APc', 'APf', 'box AP')
    page = table_page('IIF at test on softmax detectors', content, about, columns, cells)
    publish(args.out, 'iif_at_test', content, page)


if __name__ == '__main__':
    main()
