"""BALLAD on glyph crops, with a small CLIP trained from scratch on glyphs and their Unicode names.

Every seed has its own long-tailed data (40 of 100 glyphs, 150 to 2 training images, which class is
rare, every image) and its own training, all of it by the phases of
``configs/glyphs/ballad_r14.py``. There are two CLIPs to start from:

- ``every``: trained once, on all 100 glyphs, 24 images each (``crops_captions``), so that it knows
  rare glyphs as well as others;
- ``without_tail``: trained for each seed, on as many images, without the glyphs that are few-shot
  there: neither their images nor their names were seen, though names share words.

The validation set is balanced (20 images a class), so ``top1`` is the balanced accuracy; numbers in
0..1. The cost of a method is the processor time of all training it needs, CLIP's left out, relative
to ``ce``, CLIP's image tower fine-tuned with a linear classifier, without texts. The first phase B
of a seed computes the features that the others read.

    python benchmarks/methods/ballad.py

Writes benchmarks/results/ballad.json and .md. What is finished lies in WORK_DIR and is not done
again when the command is repeated. ``--tiny --seeds 0`` tries it out.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, per_cent, publish

from lt_det.datasets.glyphs import CROP_SIZES, make_crops
from lt_det.datasets.glyphs.crops import plan_crops
from lt_det.datasets.glyphs.recipe import GlyphRecipe, exponential_counts
from lt_det.frequency import ClassFrequency

CONFIGS = ROOT / 'configs' / 'glyphs'
# symbols, and letters whose names share words
GLYPHS = 'αβγδεζηθλμξπφψωΓΔΘΞΠΣΦΨΩ★♥✈☂♞♠☎⚓✿&€£¥§@#'
COUNTS = exponential_counts(len(GLYPHS), 150, 2)
RECIPE = replace(
    CROP_SIZES['crops'],
    size='crops_ballad',
    glyphs=GLYPHS,
    train_counts=COUNTS,
    train_images=sum(COUNTS),
    val_images=20 * len(GLYPHS),
    cue_classes=4,
)
METRICS = ('top1', 'macro', 'many', 'medium', 'few', 'ece')
CAPTIONS = CROP_SIZES['crops_captions']
PRETRAINING = ('every', 'without_tail')
SAMPLER = 'train_dataloader.sampler'
RATIO = 'model.ratio'

# method: (phase of the config, overrides of it, methods whose training it needs)
METHODS: dict[str, tuple[str, dict, tuple[str, ...]]] = {
    'zero_shot': ('zero_shot', {}, ()),
    'linear_probe': ('linear_probe', {}, ()),
    'ce': ('phase_a', {'model.phase': 'fine_tune', 'model.head.type': 'LongTailClsHead'}, ()),
    'phase_a': ('phase_a', {}, ()),
    'phase_a_contrastive': ('phase_a', {'model.contrastive': True}, ()),
    **{
        f'phase_a_{name}': (
            'zero_shot',
            {'after': 'phase_a', 'model.head.adjustment': dict(type=kind, stage='test', **rule)},
            ('phase_a',),
        )
        for name, kind, rule in (
            ('logit_adjustment', 'PriorShift', dict(tau=1.0)),
            ('iif_post', 'IIF', dict(link='smooth')),
        )
    },
    **{
        f'phase_b_{mode}': ('phase_b', {f'{SAMPLER}.mode': mode}, ('phase_a',))
        for mode in ('instance', 'square_root', 'mixed', 'class_balanced')
    },
    **{
        # percent: a config key has no place for the point
        f'phase_b_ratio_{percent}': ('phase_b', {RATIO: percent / 100}, ('phase_a',))
        for percent in (10, 50, 80, 100)
    },
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--pretraining', nargs='+', choices=PRETRAINING, default=PRETRAINING)
    parser.add_argument('--methods', nargs='+', help='only these, and what they start from')
    parser.add_argument('--tiny', action='store_true', help='one epoch each, to try it out')
    parser.add_argument('--work-dir', default='work_dirs/ballad')
    parser.add_argument('--data', default='data/glyphs')
    parser.add_argument('--threads', type=int, default=1)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from speed.ballad_cost import measure_memory, measure_speed

from lt_det.engine.phase_runner import PhaseRunner


def load(name: str, data: Path, work_dir: Path, seed: int, tiny: bool) -> Config:
    """A config of ``configs/glyphs`` on the given data."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for split in ('train', 'val'):
        loader = cfg[f'{split}_dataloader']
        loader.num_workers = 0
        loader.dataset.update(data_root=f'{data}/', classes=str(data / 'classes.txt'))
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.model.class_names = str(data / 'classes.txt')
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'ReportHook']
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=100, save_last=True, save_optimizer=False
    )
    cfg.merge_from_dict(dict(work_dir=str(work_dir), launcher='none', randomness=dict(seed=seed)))
    cfg.log_level = 'WARNING'
    for part in (cfg, *cfg.get('phases', {}).values()):
        if 'train_cfg' in part:
            part.train_cfg.val_interval = 10**6  # validation is not training time
            if tiny:
                part.train_cfg.max_epochs = 1
    return cfg


def phases(data: Path, work_dir: Path, seed: int, tiny: bool, clip: Path) -> Config:
    """The config of BALLAD's phases, from the weights of the small CLIP."""
    cfg = load('ballad_r14', data, work_dir, seed, tiny)
    cfg.model.head.num_classes = len(GLYPHS)
    cfg.model.clip.pretrained = str(clip)
    return cfg


class MetricsRunner(PhaseRunner):
    """PhaseRunner that measures the processor seconds of training, and returns the metrics."""

    def run(self, name: str) -> tuple[dict[str, float], float]:
        """Metrics of the validation behind phase ``name``, and seconds of training."""
        runner = self.build(name)
        MMLogger.get_current_instance().setLevel(logging.WARNING)
        if not self.cfg.phases[name].get('train', True):
            return runner.val(), 0.0
        start = time.process_time()
        runner.train()
        seconds = time.process_time() - start
        return runner.val_loop.run(), seconds


def captions(pretraining: str, seed: int) -> GlyphRecipe:
    """What CLIP is trained on."""
    if pretraining == 'every':
        return CAPTIONS
    plan = plan_crops(replace(RECIPE, seed=seed))
    groups = ClassFrequency(plan.train_counts).groups('shot')
    tail = {glyph for glyph, group in zip(plan.glyphs, groups, strict=True) if group == 'few'}
    glyphs = ''.join(glyph for glyph in CAPTIONS.glyphs if glyph not in tail)
    each = CAPTIONS.train_images // len(glyphs)
    return replace(
        CAPTIONS,
        size='crops_captions_without_tail',
        glyphs=glyphs,
        train_counts=(each,) * len(glyphs),
        train_images=each * len(glyphs),
        val_images=CAPTIONS.val_count * len(glyphs),
    )


def train_clip(args: argparse.Namespace, pretraining: str, seed: int) -> tuple[Path, float]:
    """Weights of the small CLIP, and the accuracy among the captions of its own validation."""
    recipe = captions(pretraining, seed)
    name = 'clip' if pretraining == 'every' else f'clip_{pretraining}_{seed}'
    folder, data = Path(args.work_dir, name), Path(args.data, f'crops_{name}')
    done = folder / 'result.json'
    if not done.is_file():
        make_crops(data, recipe, progress=False)
        cfg = load('ballad_clip_r14', data, folder, 0, args.tiny)
        cfg.model.head.num_classes = recipe.num_classes
        cfg.phases, cfg.run = dict(clip=dict()), ['clip']
        metrics, _ = MetricsRunner(cfg).run('clip')
        shutil.copy(folder / 'clip' / 'clip.pt', folder / 'clip.pt')
        done.write_text(json.dumps(metrics))
    return folder / 'clip.pt', json.loads(done.read_text())['accuracy/top1']


def seed_data(args: argparse.Namespace, seed: int) -> Path:
    folder = Path(args.data, f'crops_ballad_{seed}')
    return make_crops(folder, replace(RECIPE, seed=seed), progress=False)


def run_seed(
    args: argparse.Namespace, pretraining: str, seed: int, methods: list[str]
) -> list[dict]:
    """A row a method."""
    clip, clip_top1 = train_clip(args, pretraining, seed)
    data = seed_data(args, seed)
    root = Path(args.work_dir, pretraining, f'seed_{seed}')
    rows = []
    for method in methods:
        phase, change, _ = METHODS[method]
        done = root / method / 'row.json'
        if not done.is_file():
            print(f'{pretraining}, seed {seed}: {method}', file=sys.stderr, flush=True)
            cfg = phases(data, root, seed, args.tiny, clip)
            # the features of phase A's tower serve every phase B
            for name, hook in (('phase_b', 'phase_a'), ('linear_probe', 'clip')):
                cfg.phases[name].extra_hooks[0].folder = str(root / 'features' / hook)
            cfg.phases[method] = cfg.phases[phase]
            cfg.run = [method]
            cfg.merge_from_dict({f'phases.{method}.{key}': value for key, value in change.items()})
            metrics, seconds = MetricsRunner(cfg).run(method)
            values = {key: metrics[f'accuracy/{key}'] for key in METRICS}
            row = dict(method=method, pretraining=pretraining, seed=seed, clip_top1=clip_top1)
            row.update(metrics=values, train_cpu_s=round(seconds, 2))
            done.parent.mkdir(parents=True, exist_ok=True)
            done.write_text(json.dumps(row))
        rows.append(json.loads(done.read_text()))
    seconds = {row['method']: row['train_cpu_s'] for row in rows}
    for row in rows:
        total = sum(seconds[name] for name in (row['method'], *METHODS[row['method']][2]))
        row['relative_cost'] = round(total / seconds['ce'], 3) if 'ce' in seconds else None
    return rows


def tables(rows: list[dict]) -> list[str]:
    """Lines of the rows of one pretraining."""
    itself = [100 * row['clip_top1'] for row in rows]
    lines = [
        '',
        f'## CLIP trained on: {rows[0]["pretraining"].replace("_", " ")}',
        '',
        f'CLIP itself: {np.mean(itself):.1f} top-1 among the captions of its training.',
        '',
        '| method | top1 | many | medium | few | ece | cost | seeds |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for method in dict.fromkeys(row['method'] for row in rows):
        mine = [row for row in rows if row['method'] == method]
        cells = [
            per_cent([row['metrics'][key] for row in mine])
            for key in ('top1', 'many', 'medium', 'few', 'ece')
        ]
        cost = [row['relative_cost'] for row in mine if row['relative_cost'] is not None]
        cells.append(f'{np.mean(cost):.2f}' if cost else '-')
        lines.append(f'| {method} | ' + ' | '.join(cells) + f' | {len(mine)} |')
    lines += ['', 'Change by seed, in points:', '']
    lines += ['| method | few, from phase A | top1, from phase A | few, from zero-shot |']
    lines += ['|---|---|---|---|']
    base = {(row['method'], row['seed']): row['metrics'] for row in rows}
    for method in [name for name in METHODS if name.startswith('phase_b')]:
        cells = []
        for key, start in (('few', 'phase_a'), ('top1', 'phase_a'), ('few', 'zero_shot')):
            changes = [
                100 * (row['metrics'][key] - base[start, row['seed']][key])
                for row in rows
                if row['method'] == method and (start, row['seed']) in base
            ]
            cells.append(', '.join(f'{change:+.1f}' for change in changes))
        if any(cells):
            lines.append(f'| {method} | ' + ' | '.join(cells) + ' |')
    return lines


def report(content: dict) -> str:
    """The table of the json."""
    rows = content['rows']
    lines = [
        '# BALLAD on glyph crops',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        'Mean and standard deviation over seeds, in percent (ece: expected calibration error). '
        '`benchmarks/methods/ballad.py` says what is measured.',
    ]
    for pretraining in dict.fromkeys(row['pretraining'] for row in rows):
        lines += tables([row for row in rows if row['pretraining'] == pretraining])
    lines += ['', '| stage | tower s | cached s | speedup |', '|---|---|---|---|']
    for row in content['speed']:
        lines.append(
            f'| {row["stage"]} | {row["stock_s"]:.4f} | {row["ours_s"]:.4f} | '
            f'{row["speedup"]:.0f} |'
        )
    lines += [
        '',
        'Peak memory of the text tower of RN50 for 1000 texts in a step of phase A, beyond the '
        'weights, gradients included (float32):',
        '',
        '| tokens a text | texts at a time | GiB |',
        '|---|---|---|',
    ]
    for row in content['memory']:
        lines.append(f'| {row["tokens"]} | {row["chunk"]} | {row["gib"]:.2f} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    where = origin(f'{args.threads} thread, torch {torch.__version__}')
    methods = list(METHODS)
    if args.methods:
        needed = {name for method in args.methods for name in (method, *METHODS[method][2])}
        methods = [name for name in METHODS if name in needed]
    work_dir = Path(args.work_dir).resolve()
    args.work_dir = str(work_dir)
    rows = [
        row
        for pretraining in args.pretraining
        for seed in args.seeds
        for row in run_seed(args, pretraining, seed, methods)
    ]
    data = seed_data(args, args.seeds[0])
    clip, _ = train_clip(args, args.pretraining[0], args.seeds[0])
    speed = measure_speed(lambda seed: phases(data, work_dir / 'speed', seed, True, clip))
    content = dict(
        **where,
        rows=rows,
        speed=speed,
        memory=measure_memory(),
    )
    publish(args.out, 'ballad', content, report(content))


if __name__ == '__main__':
    main()
