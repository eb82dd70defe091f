"""Long-tailed classification methods on glyph crops: 100 classes, 200 to 2 training images.

Every seed has its own data (which class is rare, every image) and its own training. Trained methods
are the configs ``configs/glyphs/crops_*.py``; post-hoc methods and second stages start from the
seed's cross-entropy checkpoint. The validation set is balanced (20 images a class), so ``top1`` is
the balanced accuracy. The cost of a method is the processor time of all training it needs, relative
to cross-entropy.

    python benchmarks/methods/methods_classification.py

Writes benchmarks/results/methods_classification.json and .md. What is finished lies in WORK_DIR and
is not done again when the command is repeated. ``--epochs 1 --seeds 0`` tries it out.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, per_cent, publish

from lt_det.adjustments.iif import LINKS

CONFIGS = ROOT / 'configs' / 'glyphs'
COLUMNS = ('top1', 'many', 'medium', 'few', 'ece')
LINK = 'model.head.adjustment.link'
RULE = 'model.head.adjustment'
SCALE = 'model.head.cls_predictor_cfg.scale'
LEARNED = 'model.head.cls_predictor_cfg.learn_scale'
FEATURES = 'model.head.cls_predictor_cfg.normalize_features'


def iif_smooth(norm: str | None = None) -> dict:
    return dict(type='IIF', link='smooth', norm=norm)


def named(method: str, link: str) -> str:
    """The paper's link has the plain name: ``iif_post``, ``iif_post_raw``, ..."""
    return method if link == 'smooth' else f'{method}_{link}'


# method: (config, overrides), trained from scratch
TRAINED: dict[str, tuple[str, dict]] = {
    'softmax': ('softmax', {}),
    'softmax_aug': ('softmax_aug', {}),
    'cosine': ('cosine', {}),
    'cosine_s8': ('cosine', {SCALE: 8.0}),
    'cosine_s32': ('cosine', {SCALE: 32.0}),
    'cosine_learned': ('cosine', {LEARNED: True}),
    **{f'iif_{link}': ('iif', {LINK: link}) for link in LINKS},
    'cosine_balanced_softmax': ('cosine', {RULE: dict(type='PriorShift', stage='train')}),
    # class weights of norm 1 and features as they are: logits are not bounded
    'weight_norm': ('cosine', {SCALE: 1.0, FEATURES: False}),
    'iif_weight_norm': ('cosine', {SCALE: 1.0, FEATURES: False, RULE: iif_smooth()}),
    # a cosine classifier under the rule: as it is, weights of mean 1, a learned scale
    **{
        f'iif_cosine{name}': ('cosine', {RULE: iif_smooth(norm), **scale})
        for name, norm, scale in (
            ('', None, {}),
            ('_s4', None, {SCALE: 4.0}),
            ('_mean', 'mean', {}),
            ('_mean_s8', 'mean', {SCALE: 8.0}),
            ('_mean_s32', 'mean', {SCALE: 32.0}),
            ('_learned', None, {LEARNED: True}),
            ('_mean_learned', 'mean', {LEARNED: True}),
        )
    },
    'balanced_softmax': ('balanced_softmax', {}),
    'ldam_drw': ('ldam_drw', {}),
    'camc': ('camc', {}),
}
# second stages on the network of 'softmax'
SECOND: dict[str, tuple[str, dict]] = {
    **{named('iif_decoupled', link): ('iif_decoupled', {LINK: link}) for link in LINKS},
    'crt': ('crt', {}),
    'lws': ('lws', {}),
}
# method: (checkpoint, adjustment), no training
POST_HOC: dict[str, tuple[str, dict]] = {
    **{
        named('iif_post', link): ('softmax', dict(type='IIF', link=link, stage='test'))
        for link in LINKS
    },
    'iif_post_cosine': ('cosine', dict(type='IIF', link='smooth', stage='test')),
    'logit_adjustment': ('softmax', dict(type='PriorShift', stage='test')),
    'tau_norm': ('softmax', dict(type='TauNorm', tau=0.5)),
    'tau_norm_1': ('softmax', dict(type='TauNorm', tau=1.0)),
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--methods', nargs='+', help='only these, and what they start from')
    parser.add_argument('--epochs', type=int, help='shorter schedules, to try it out')
    parser.add_argument('--work-dir', default='work_dirs/methods_classification')
    parser.add_argument('--data', default='data/glyphs/methods_classification')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--name', default='methods_classification', help='of the results')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from speed.classifier_cost import reading, throughput
from torch import Tensor, nn

from lt_det.adjustments import build_adjustment
from lt_det.datasets.glyphs import make_crops
from lt_det.evaluation.classification import class_accuracy, group_means, reliability
from lt_det.formats.list_file import read_list_file
from lt_det.frequency import ClassFrequency


def load(name: str, data: Path, seed: int, work_dir: Path, epochs: int | None) -> Config:
    """A config of ``configs/glyphs`` for the data of a seed, without validation."""
    cfg = Config.fromfile(CONFIGS / f'crops_{name}.py')
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(data_root=f'{data}/', classes=str(data / 'classes.txt'))
        cfg[f'{split}_dataloader'].num_workers = 0
    for key in ('val_dataloader', 'val_evaluator', 'val_cfg'):
        cfg[key] = None
    for key in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        cfg[key] = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'ReportHook']
    for hook in cfg.custom_hooks:
        if hook.type == 'FirstStageHook':
            hook.work_dir = str(work_dir.parent / 'softmax')
    cfg.train_cfg.max_epochs = epochs or cfg.train_cfg.max_epochs
    if epochs:
        cfg.param_scheduler[-1].end = epochs
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=cfg.train_cfg.max_epochs, save_optimizer=False
    )
    cfg.work_dir = str(work_dir)
    cfg.randomness = dict(seed=seed)
    cfg.experiment_name = f'{work_dir.name}_{seed}_{time.time_ns()}'
    cfg.log_level = 'WARNING'
    return cfg


def train(cfg: Config) -> tuple[nn.Module, float]:
    """The trained model and the processor seconds of its training loop."""
    runner = Runner.from_cfg(cfg)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    start = time.process_time()
    model = runner.train()
    return model.eval(), time.process_time() - start


@torch.no_grad()
def predict(model: nn.Module, data: Path) -> tuple[Tensor, np.ndarray]:
    """Adjusted logits (N, C) of the validation images, and their labels (N,)."""
    lines, labels = read_list_file(data / 'val.txt')
    images = [cv2.imread(str(data / line.split()[0].decode())) for line in lines]
    images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    logits = []
    for batch in images.split(256):
        samples = [DataSample()] * len(batch)
        inputs = model.data_preprocessor(dict(inputs=list(batch), data_samples=samples))['inputs']
        logits.append(model(inputs, mode='tensor'))
    return torch.cat(logits).cpu(), labels  # they are scored there, wherever they come from


def score(logits: Tensor, labels: np.ndarray, frequency: ClassFrequency) -> dict[str, float]:
    confidence, predicted = logits.double().softmax(1).max(1)
    correct = predicted.numpy() == labels
    accuracy = class_accuracy(labels, correct, frequency.num_classes)
    return dict(
        top1=float(correct.mean()),
        macro=float(np.nanmean(accuracy)),
        **group_means(accuracy, frequency.groups('shot')),
        ece=reliability(confidence.numpy(), correct).calibration_error,
    )


class Seed:
    """All methods on the data of one seed; finished rows are kept in a file."""

    def __init__(self, seed: int, args: argparse.Namespace) -> None:
        self.seed = seed
        self.epochs = args.epochs
        self.data = make_crops(Path(args.data) / f'seed{seed}', 'crops', seed)
        tried_out = f'_epochs{args.epochs}' if args.epochs else ''
        self.folder = Path(args.work_dir) / f'seed{seed}{tried_out}'
        self.folder.mkdir(parents=True, exist_ok=True)
        self.frequency = ClassFrequency.from_annotation_file(self.data / 'train.txt')
        self.file = self.folder / 'rows.json'
        self.rows = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def run(self, method: str) -> None:
        """Run a method, and first what it starts from."""
        if method in self.rows:
            return
        if method in POST_HOC:
            source = POST_HOC[method][0]
            self.run(source)
            metrics, seconds = self._post_hoc(method), self.rows[source]['seconds']
        else:
            seconds = 0.0
            if method in SECOND:
                self.run('softmax')
                seconds = self.rows['softmax']['seconds']
            name, overrides = {**TRAINED, **SECOND}[method]
            cfg = load(name, self.data, self.seed, self.folder / method, self.epochs)
            cfg.merge_from_dict(overrides)
            model, own = train(cfg)
            seconds += own
            metrics = score(*predict(model, self.data), self.frequency)
        self.rows[method] = dict(metrics=metrics, seconds=seconds)
        self.file.write_text(json.dumps(self.rows, indent=1) + '\n')
        values = '  '.join(f'{key} {metrics[key]:.3f}' for key in COLUMNS)
        print(f'seed {self.seed}  {method:24s} {values}  {seconds:6.1f} s', flush=True)

    def _post_hoc(self, method: str) -> dict[str, float]:
        source, rule = POST_HOC[method]
        name, overrides = TRAINED[source]
        cfg = load(name, self.data, self.seed, self.folder / method, self.epochs)
        cfg.merge_from_dict(overrides)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        (path,) = (self.folder / source).glob('epoch_*.pth')
        state = torch.load(path, map_location='cpu', weights_only=False)['state_dict']
        model.load_state_dict(state)
        logits, labels = predict(model.eval(), self.data)
        adjustment = build_adjustment(rule, self.frequency, background=False).eval()
        if hasattr(adjustment, 'set_classifier'):
            adjustment.set_classifier(model.head.fc.weight, model.head.fc.bias)
        return score(adjustment(logits).detach(), labels, self.frequency)

    def results(self) -> list[dict]:
        base = self.rows['softmax']['seconds']
        return [
            dict(
                method=method,
                seed=self.seed,
                metrics=row['metrics'],
                relative_cost=round(row['seconds'] / base, 3),
            )
            for method, row in self.rows.items()
        ]


def table(rows: list[dict]) -> list[str]:
    """Mean and standard deviation over the seeds, a line a method."""
    lines = [
        '| method | all | many | medium | few | ECE | cost |',
        '|---|---|---|---|---|---|---|',
    ]
    for method in dict.fromkeys(row['method'] for row in rows):
        mine = [row for row in rows if row['method'] == method]
        cells = [per_cent([row['metrics'][key] for row in mine]) for key in COLUMNS]
        cost = statistics.mean(row['relative_cost'] for row in mine)
        lines.append(f'| `{method}` | {" | ".join(cells)} | {cost:.2f} |')
    return lines


def differences(rows: list[dict]) -> list[str]:
    """The comparisons that the method's claims are about, paired by seed."""
    value = {(row['method'], row['seed']): row['metrics'] for row in rows}
    lines = []
    for better, worse, keys in (
        ('iif_post', 'softmax', ('top1', 'few')),
        ('iif_decoupled', 'iif_post', ('top1', 'few')),
        ('camc', 'cosine', ('top1', 'few')),
    ):
        seeds = sorted({s for m, s in value if m == better} & {s for m, s in value if m == worse})
        for key in keys if seeds else ():
            gaps = [value[better, seed][key] - value[worse, seed][key] for seed in seeds]
            lines.append(f'- `{better}` against `{worse}`, {key}: {per_cent(gaps)} points')
    return lines


def report(content: dict) -> str:
    """The page of the json."""
    rows, speed, read = content['rows'], content['throughput'], content['reading']
    seeds = sorted({row['seed'] for row in rows})
    lines = [
        '# Classification methods on glyph crops',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}; '
        f'`{content["command"]}`.',
        '',
        '100 classes, 200 to 2 training images, 20 validation images a class. Per cent, mean ± '
        f'standard deviation over seeds {", ".join(map(str, seeds))} (data and training). Many: '
        'above 100 training images, few: below 20. Cost: processor time of all training, '
        'relative to `softmax`. A row without a deviation has one seed.',
        '',
        *table(rows),
        '',
        *differences(rows),
        f'- training throughput with an adjustment and a cosine head: '
        f'{speed["relative_throughput"]:.3f} of the stock head',
        f'- a data set from a list of {read["lines"]:,} lines: {read["seconds"]:.2f} s, '
        f'{read["mb"]:.0f} MB',
        '',
    ]
    return '\n'.join(lines)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    where = origin(f'{args.threads} thread(s), torch {torch.__version__}')
    warnings.filterwarnings('ignore', module='mm(engine|pretrain|det)')
    register_all_modules(init_default_scope=True)
    known = [*TRAINED, *SECOND, *POST_HOC]
    methods = args.methods or known
    for method in methods:
        if method not in known:
            sys.exit(f'error: method {method} does not exist; there are {", ".join(known)}')
    seeds = [Seed(seed, args) for seed in args.seeds]
    for seed in seeds:
        for method in ('softmax', *methods):
            seed.run(method)
    rows = [row for seed in seeds for row in seed.results()]
    rows.sort(key=lambda row: (known.index(row['method']), row['seed']))
    content = dict(
        **where,
        rows=rows,
        throughput=throughput(),
        reading=reading(),
    )
    publish(args.out, args.name, content, report(content))


if __name__ == '__main__':
    main()
