"""IIF at test on softmax detectors: what a weight does to negative logits, and around a pivot.

A weight above 1 lowers a negative logit, and rare classes often have negative logits on their own
objects. Multiplied around a pivot z0 the map is w_c (z_c - z0) + z0. Tried are the logit of the
background of the same RoI, and the mean logit of the class over the RoIs of all training images;
each with the weights as they are and divided by their mean, beside plain IIF, and rules that add:
NorCal, FRACAL. LogN (Zhao et al., arXiv 2203.17020) is a pivot too, without counts:
(z_c - (mu_c - min mu)) / sigma_c with the means and deviations of the same logits, the background
left alone. The detectors are the softmax ones of methods_detection.py, whose runs are used; each
image goes through the network once for all rules.

    python benchmarks/methods/iif_at_test.py --size demo --epochs 3

writes benchmarks/results/iif_at_test.json and .md. A seed that is finished lies in the work dir and
is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish, spread, table_page

SHOWN = ('bbox_AP', 'bbox_APr', 'bbox_APc', 'bbox_APf')


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--size', default='bench', help='of the data set')
    parser.add_argument('--epochs', type=int, default=12)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--data', help='as of methods_detection.py')
    parser.add_argument('--work-dir', type=Path, help='of methods_detection.py')
    args = parser.parse_args()
    args.data, args.num_workers = args.data or f'data/glyphs/{args.size}', 0
    name = f'{args.size}_{args.epochs}e'
    args.work_dir = args.work_dir or Path(f'work_dirs/methods_detection/{name}')
    return args


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import torch
from methods import methods_detection
from mmdet.structures.bbox import bbox2roi
from mmengine.registry import DATASETS, METRICS
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_det.adjustments import IIF, build_adjustment
from lt_det.adjustments.box_dimension import box_dimension_of
from lt_det.calibration.replay import Replay
from lt_det.frequency import ClassFrequency


class Pivoted(nn.Module):
    """``w_c (z_c - z0) + z0``; z0: vector (C + 1,), or the background's logit."""

    def __init__(self, rule: IIF, pivot: Tensor | None = None) -> None:
        super().__init__()
        self.scale, self.pivot = rule.scale, pivot

    def forward(self, logits: Tensor) -> Tensor:
        pivot = logits[:, -1:] if self.pivot is None else self.pivot
        return self.scale * (logits - pivot) + pivot


class LogN(nn.Module):
    """Of means and deviations (C + 1,), those of the background not read."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.offset, self.deviation = mean - mean[:-1].min(), deviation.clone()
        self.offset[-1], self.deviation[-1] = 0, 1

    def forward(self, logits: Tensor) -> Tensor:
        return (logits - self.offset) / self.deviation


def rules_of(dataset, mean: Tensor, deviation: Tensor) -> dict[str, nn.Module | None]:
    """The rules of a training set, whose RoIs have logits of that mean and deviation."""
    frequency = ClassFrequency.from_dataset(dataset)

    def rule(**cfg) -> nn.Module:
        return build_adjustment(dict(cfg, stage='test'), frequency).eval()

    weights = rule(type='IIF', link='smooth')
    of_mean_1 = rule(type='IIF', link='smooth', norm='mean')
    dimension = box_dimension_of(dataset)
    return {
        'none': None,
        'NorCal': rule(type='NorCal', gamma=0.5),
        'FRACAL': rule(type='FRACAL', lam=2.0, dimension=dimension),
        'LogN': LogN(mean, deviation),
        'IIF': weights,
        'IIF, mean 1': of_mean_1,
        'IIF around the background': Pivoted(weights),
        'IIF around the background, mean 1': Pivoted(of_mean_1),
        "IIF around the class's mean": Pivoted(weights, mean),
        "IIF around the class's mean, mean 1": Pivoted(of_mean_1, mean),
    }


@torch.no_grad()
def logits_of(model: nn.Module, dataset) -> tuple[Tensor, Tensor]:
    """Mean and deviation (C + 1,) of the class logits over the RoIs of the images."""
    sums, rows = [0.0, 0.0], 0

    def look(_, __, logits: Tensor) -> None:
        nonlocal rows
        rows += len(logits)
        for power in (1, 2):
            sums[power - 1] += logits.double().pow(power).sum(0)

    handle = model.roi_head.bbox_head.fc_cls.register_forward_hook(look)
    for index in range(len(dataset)):
        item = dataset[index]
        batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        data = model.data_preprocessor(batch)
        features = model.extract_feat(data['inputs'])
        (proposals,) = model.rpn_head.predict(features, data['data_samples'], rescale=False)
        model.roi_head._bbox_forward(features, bbox2roi([proposals.bboxes]))
    handle.remove()
    mean, square = (total / rows for total in sums)
    return mean.float(), (square - mean**2).sqrt().float()


def predict(model: nn.Module, data: dict) -> list:
    samples = [sample.new() for sample in data['data_samples']]
    return model(data['inputs'], samples, mode='predict')


@torch.no_grad()
def run(args: argparse.Namespace, seed: int) -> list[dict]:
    """A row a rule."""
    done = args.work_dir / 'softmax' / str(seed) / 'iif_at_test.json'
    if done.exists():
        return json.loads(done.read_text())
    (checkpoint,) = done.parent.glob('iter_*.pth')
    cfg = methods_detection.config(args, 'softmax', seed)
    cfg.work_dir, cfg.load_from = str(args.work_dir / 'iif_at_test'), str(checkpoint)
    cfg.test_evaluator.update(metric='bbox', fixed_ap=False)
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    model, head = runner.model.eval(), runner.model.roi_head.bbox_head
    model.roi_head.mask_head = None  # boxes are the same without
    dataset = runner.test_dataloader.dataset
    training = runner.train_dataloader.dataset
    # the training images as a test sees them
    seen = {key: cfg.train_dataloader.dataset[key] for key in ('ann_file', 'data_prefix')}
    seen = DATASETS.build({**cfg.test_dataloader.dataset, **seen})
    rules = rules_of(training, *logits_of(model, seen))
    metrics = {name: METRICS.build(cfg.test_evaluator) for name in rules}
    for metric in metrics.values():
        metric.dataset_meta = dataset.metainfo
    with Replay(model, [head.fc_cls]) as replay:
        for batch in runner.test_dataloader:
            data = model.data_preprocessor(batch)
            replay.forget()
            for name, rule in rules.items():
                head.adjustment = rule
                found = replay.run(partial(predict, model, data))
                metrics[name].process(batch, [sample.to_dict() for sample in found])
    rows = []
    for name, metric in metrics.items():
        values = {key.split('/')[-1]: value for key, value in metric.evaluate(len(dataset)).items()}
        rows.append(dict(rule=name, seed=seed, metrics={key: values[key] for key in SHOWN}))
        print(json.dumps(rows[-1]), flush=True)
    done.write_text(json.dumps(rows))
    return rows


def main() -> None:
    args = parse_args()
    args.pretrained = methods_detection.pretrained(args)
    content = origin(f'torch {torch.__version__}')
    content['rows'] = rows = [row for seed in args.seeds for row in run(args, seed)]
    cells = []
    for name in dict.fromkeys(row['rule'] for row in rows):
        mine = [row['metrics'] for row in rows if row['rule'] == name]
        cells.append([name, *(spread([metrics[key] for metrics in mine]) for key in SHOWN)])
    about = (
        'Softmax detectors of `benchmarks/methods/methods_detection.py`, rules at test alone; '
        'mean and standard deviation over seeds; AP of boxes in 0..1. '
        '`benchmarks/methods/iif_at_test.py` says what the rules are.'
    )
    columns = ('rule', 'AP', 'APr', 'APc', 'APf')
    page = table_page('IIF at test on softmax detectors', content, about, columns, cells)
    publish(args.out, 'iif_at_test', content, page)


if __name__ == '__main__':
    main()
