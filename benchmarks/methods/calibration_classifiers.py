"""Post-hoc rules for a trained classifier, chosen without the test set, on 100 glyph classes.

Every seed has its own data and its own training with cross-entropy, that of crops_softmax.py as in
methods_classification.py. What is held out is rendered anew, from a seed that neither the training
nor the test images have, the same number of images for each class. ``calibrate_classifier`` looks
at those alone. Then the test set is looked at: cross-entropy as it is, and the chosen setting. The
oracle, the setting that is best on the test set itself, is what no choice can surpass.

    python benchmarks/methods/calibration_classifiers.py

Writes benchmarks/results/calibration_classifiers.json and .md. ``--epochs 1 --seeds 0`` tries it
out.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish, spread

KEYS = ('macro', 'many', 'medium', 'few')
HELD_OUT_SEED = 10_000  # behind those of the data


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--images', type=int, default=30, help='held out, of each class')
    parser.add_argument('--resamples', type=int, default=100)
    parser.add_argument('--epochs', type=int, help='a shorter schedule, to try it out')
    parser.add_argument('--work-dir', default='work_dirs/calibration_classifiers')
    parser.add_argument('--data', default='data/glyphs/methods_classification')
    parser.add_argument('--threads', type=int, default=1)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import torch
from methods_classification import load, predict, score, train
from mmengine.config import Config, ConfigDict
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from torch import nn

from lt_det.calibration.classifier_head import build_rule
from lt_det.calibration.classify import calibrate_classifier
from lt_det.calibration.settings import default_settings
from lt_det.datasets.glyphs import CROP_SIZES, make_crops
from lt_det.formats.list_file import read_list_file
from lt_det.frequency import ClassFrequency

METRIC = 'macro'
# what may fall by how much, for each row
KEPT = {'calibrated': {}, 'calibrated_many_kept': {'many': 0.05}}


def held_out_list(root: Path, seed: int, images: int) -> Path:
    """A list of newly rendered crops, ``images`` of each class."""
    recipe = CROP_SIZES['crops']
    number = len(recipe.glyphs)
    recipe = replace(
        recipe,
        size='crops_held_out',
        train_counts=(1,) * number,
        train_images=number,
        val_images=images * number,
        val_count=images,
        seed=HELD_OUT_SEED + seed,
    )
    folder = make_crops(root / f'held_out{seed}_{images}', recipe)
    lines, _ = read_list_file(folder / 'val.txt')
    path = folder / 'held_out.txt'
    # the data sets of the config have another root
    path.write_text(''.join(f'{folder.resolve()}/{line.decode()}\n' for line in lines))
    return path


def config_of(data: Path, seed: int, folder: Path, epochs: int | None) -> Config:
    """The config of cross-entropy, with the test data that training does without."""
    cfg = load('softmax', data, seed, folder, epochs)
    test = cfg.train_dataloader.dataset.to_dict()
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    test.update(ann_file='val.txt', pipeline=pipeline, test_mode=True)
    loader = dict(batch_size=256, num_workers=0, dataset=test)
    loader['sampler'] = dict(type='DefaultSampler', shuffle=False)
    cfg.test_dataloader, cfg.test_cfg = ConfigDict(loader), ConfigDict()
    return cfg


def checkpoint_of(data: Path, seed: int, folder: Path, epochs: int | None) -> Path:
    """The checkpoint of cross-entropy, trained where there is none."""
    found = sorted(folder.glob('epoch_*.pth'))
    if not found:
        train(load('softmax', data, seed, folder, epochs))
        found = sorted(folder.glob('epoch_*.pth'))
    return found[-1]


def trained_model(cfg: Config, checkpoint: Path) -> nn.Module:
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    state = torch.load(checkpoint, map_location='cpu', weights_only=False)['state_dict']
    model.load_state_dict(state)
    return model.eval()


def run(seed: int, args: argparse.Namespace) -> tuple[list[dict], list[dict]]:
    """The rows of a seed, and what was chosen."""
    data = make_crops(Path(args.data) / f'seed{seed}', 'crops', seed)
    folder = Path(args.work_dir, f'seed{seed}{f"_epochs{args.epochs}" if args.epochs else ""}')
    held_out = held_out_list(Path(args.data), seed, args.images)
    checkpoint = checkpoint_of(data, seed, folder / 'softmax', args.epochs)
    cfg = config_of(data, seed, folder / 'softmax', args.epochs)
    settings = default_settings('softmax', background=False)
    chosen, choices = {}, []
    for method, keep in KEPT.items():
        start = time.perf_counter()
        selection = calibrate_classifier(
            cfg,
            checkpoint,
            held_out,
            None,
            folder / method,
            settings,
            metric=METRIC,
            keep=keep,
            resamples=args.resamples,
            seed=seed,
            progress=False,
        )
        chosen[method] = selection.chosen
        choices.append(
            dict(
                method=method,
                seed=seed,
                keep=keep,
                fold=selection.fold,
                reason=selection.reason,
                chosen=settings[selection.chosen].name,
                gains=selection.as_dict()['gains'],
                seconds=round(time.perf_counter() - start, 1),
            )
        )

    # from here on the test set is looked at
    model = trained_model(cfg, checkpoint)
    frequency = ClassFrequency.from_annotation_file(data / 'train.txt')
    logits, labels = predict(model, data)

    def tested(number: int) -> dict[str, float]:
        rule = build_rule(settings[number], model.head, frequency)
        with torch.no_grad():
            return score(logits if rule is None else rule(logits), labels, frequency)

    everything = [tested(number) for number in range(len(settings))]
    best = max(range(len(settings)), key=lambda number: everything[number][METRIC])
    numbers = dict(cross_entropy=0, **chosen, oracle=best)
    rows = []
    for method, number in numbers.items():
        name, metrics = settings[number].name, everything[number]
        rows.append(dict(method=method, seed=seed, setting=name, metrics=metrics))
        values = '  '.join(f'{key} {metrics[key]:.3f}' for key in KEYS)
        print(f'seed {seed}  {method:20s}  {values}  {name}', flush=True)
    return rows, choices


def report(content: dict) -> str:
    """The page of the json."""
    rows, choices = content['rows'], content['choices']
    value = {(row['method'], row['seed']): row['metrics'] for row in rows}
    methods = list(dict.fromkeys(row['method'] for row in rows))
    seeds = list(dict.fromkeys(row['seed'] for row in rows))
    oracle = {row['seed']: row['setting'] for row in rows if row['method'] == 'oracle'}
    kept = next(keep for keep in KEPT.values() if keep)
    lines = [
        '# Post-hoc rules for a trained classifier, chosen on held-out images',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}; '
        f'`{content["command"]}`.',
        '',
        '100 classes of glyph crops, 200 to 2 training images, trained with cross-entropy; '
        f'{content["images"]} held-out images of each class, rendered anew; 20 test images of '
        'each. Mean ± standard deviation of accuracies, 0 to 1, over seeds '
        f'{", ".join(map(str, seeds))} (data, training, held-out images). Macro: over all classes; '
        'many: above 100 training images, few: below 20. '
        f'{content["settings"]} settings, all from one pass over the held-out images; chosen for '
        f'{METRIC}, `calibrated_many_kept` with many at most {kept["many"]} lower on the held-out '
        'images. The oracle is the best on the test set itself.',
        '',
        '| | macro | many | medium | few |',
        '|---|---|---|---|---|',
    ]
    for method in methods:
        cells = [spread([value[method, seed][key] for seed in seeds]) for key in KEYS]
        lines.append(f'| `{method}` | {" | ".join(cells)} |')
    for method in methods[1:]:
        cells = [
            spread([value[method, s][key] - value['cross_entropy', s][key] for s in seeds])
            for key in KEYS
        ]
        lines.append(f'| `{method}` - `cross_entropy` | {" | ".join(cells)} |')
    lines += [
        '',
        f'| seed | | chosen on held-out images | cross-fitted gain of {METRIC} there (95 %) | gain '
        'on test | best on test | time, s |',
        '|---|---|---|---|---|---|---|',
    ]
    for choice in choices:
        method, seed, gain = choice['method'], choice['seed'], choice['gains'][METRIC]
        low, high = gain['interval']
        tested = value[method, seed][METRIC] - value['cross_entropy', seed][METRIC]
        lines.append(
            f'| {seed} | `{method}` | {choice["chosen"]} | {gain["gain"]:.3f} ({low:.3f} to '
            f'{high:.3f}) | {tested:.3f} | {oracle[seed]} | {choice["seconds"]} |'
        )
    return '\n'.join([*lines, ''])


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    where = origin(f'{args.threads} thread(s), torch {torch.__version__}')
    warnings.filterwarnings('ignore', module='mm(engine|pretrain|det)')
    register_all_modules(init_default_scope=True)
    rows, choices = [], []
    for seed in args.seeds:
        more, chosen = run(seed, args)
        rows += more
        choices += chosen
    number = len(default_settings('softmax', background=False))
    content = dict(**where, images=args.images, settings=number, rows=rows, choices=choices)
    publish(args.out, 'calibration_classifiers', content, report(content))


if __name__ == '__main__':
    main()
