"""Post-hoc rules for a trained detector, chosen on held-out images from one pass over them.

Mask R-CNN with softmax on glyphs `small` (30 classes, 300 to 3 training images, 200 validation
images), 3 trainings that start from one detector of other glyphs. One sweep over the validation
images gives the detections of each setting; then, for 10 random splits of the images into halves:

- choice: ``select`` looks at one half alone, what it answers is scored on the other;
- control: the same, with the annotations of the images moved to other images at random, another
  permutation for each split. There is nothing to be learned from the held-out half then, nor much
  to be found;
- exchange: the same, where on each image the settings have each other's detections, in an order
  drawn for it. There is nothing to choose then, at about the AP of the detector.

Besides: AP of settings in the sweep against tests of their own; the folded weights in a process of
stock MMDetection against our run; and, of Mask R-CNN R50-FPN with 1203 classes and random weights,
the time of one sweep against that of one test.

    OMP_NUM_THREADS=1 python benchmarks/methods/calibration.py

Writes benchmarks/results/calibration.json and .md. Each part has a process of its own and keeps its
answer in the folder of ``--work-dir``; what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish
from methods.calibration_report import report

CONFIG = ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_softmax_demo.py'
EPOCHS = 4
# the first three for each seed; of these, what is a control
PARTS = ('choice', 'control', 'exchange', 'equal', 'speed')
CONTROLS = {'control': 'annotations', 'exchange': 'settings'}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--splits', type=int, default=10)
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--speed-images', type=int, default=3)
    parser.add_argument('--speed-repeats', type=int, default=3)
    parser.add_argument('--data', type=Path, default=Path('data/glyphs/small'))
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/calibration'))
    parser.add_argument('--processes', type=int, default=2, help='of one thread each')
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------------ parts


def checkpoint_of(args: argparse.Namespace, seed: int) -> Path:
    return args.work_dir / f'seed{seed}' / 'softmax' / f'epoch_{EPOCHS}.pth'


def options_of(args: argparse.Namespace, seed: int) -> list[str]:
    """What the training and the tests of a seed have in another way than the config."""
    annotations = args.data / 'annotations' / 'glyphs_val.json'
    return [
        f'randomness.seed={seed}',
        *(f'{split}_dataloader.dataset.data_root={args.data}/' for split in ('train', 'val')),
        f'test_dataloader.dataset.data_root={args.data}/',
        f'val_evaluator.ann_file={annotations}',
        f'test_evaluator.ann_file={annotations}',
        f'train_cfg.max_epochs={EPOCHS}',
        f'train_cfg.val_interval={EPOCHS + 1}',
        f'param_scheduler.1.end={EPOCHS}',
        f'param_scheduler.1.T_max={EPOCHS}',
    ]


def train(args: argparse.Namespace, seed: int) -> None:
    checkpoint = checkpoint_of(args, seed)
    if checkpoint.is_file():
        return
    command = [sys.executable, '-m', 'lt_det', 'train', CONFIG, '--work-dir', checkpoint.parent]
    subprocess.run([*command, '--cfg-options', *options_of(args, seed)], check=True)


def work(args: argparse.Namespace, part: str, seed: int) -> dict | list:
    """What a part finds."""
    import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

    if part == 'speed':
        from methods.calibration_speed import measure

        return measure(args.speed_images, args.speed_repeats)
    import warnings

    import torch
    from mmdet.utils import register_all_modules
    from mmengine.config import Config, DictAction

    train(args, seed)
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore', module='mm(engine|det)')
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(CONFIG)
    pairs = (option.split('=', 1) for option in options_of(args, seed))
    cfg.merge_from_dict({key: DictAction._parse_int_float_bool(value) for key, value in pairs})
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'ReportHook']
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    checkpoint = checkpoint_of(args, seed)
    held_out = args.data / 'annotations' / 'glyphs_val.json'
    folder = args.work_dir / f'seed{seed}' / 'calibrated'
    if part == 'equal':
        from methods.calibration_equal import fold_and_test, tests_of_settings

        choice = folder / 'choice.json'
        folded = fold_and_test(cfg, checkpoint, choice, folder.parent / 'folded')
        return dict(settings=tests_of_settings(cfg, checkpoint, folder), folded=folded)
    from methods.calibration_splits import Images, choices, sweep

    sweep(cfg, checkpoint, held_out, folder)
    images = Images(cfg, held_out, folder)
    return choices(images, args.splits, CONTROLS.get(part))


def done(args: argparse.Namespace, part: str, seed: int) -> dict | list:
    """What a part found, in a process of its own unless it is known."""
    path = args.work_dir / f'seed{seed}' / f'{part}.json'
    if not path.is_file():
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
        command = [sys.executable, *sys.argv, '--worker', part, str(seed)]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix('.log').open('w') as log:
            subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)
        print(f'{part} of seed {seed} done', flush=True)
    return json.loads(path.read_text())


def main() -> None:
    args = parse_args()
    if args.worker:
        part, seed = args.worker[0], int(args.worker[1])
        text = json.dumps(work(args, part, seed))
        (args.work_dir / f'seed{seed}' / f'{part}.json').write_text(text)
        return
    from lt_det.datasets.glyphs import make_glyphs

    where = origin()
    make_glyphs(args.data, 'small')
    of_seeds = [(part, seed) for part in PARTS[:3] if part in args.parts for seed in args.seeds]
    with ThreadPoolExecutor(args.processes) as pool:
        found = list(pool.map(lambda job: done(args, *job), of_seeds))
    content = {
        **where,
        'splits': args.splits,
        'rows': [
            dict(seed=seed, **row) for (_, seed), rows in zip(of_seeds, found) for row in rows
        ],
        # one after the other: times are taken alone on the machine
        **{part: done(args, part, args.seeds[0]) for part in PARTS[3:] if part in args.parts},
    }
    publish(args.out, 'calibration', content, report(content))


if __name__ == '__main__':
    main()
