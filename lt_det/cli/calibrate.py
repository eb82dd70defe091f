"""Choose a post-hoc rule for a trained model on held-out images: rare classes without training.

The network runs once over the images; about 60 rules and strengths are scored on what it computes.
What the choice is worth is measured where it was not made; where that is not above chance, the
answer is to leave the model as it is. "lt_det fold" writes the choice into the weights.

    lt_det calibrate mine.py work_dirs/mine/epoch_12.pth --held-out held.json --out calibrated/
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..config_parts import classifies
from ..errors import BadInputError, MissingFileError
from ..formats.files import check_folder, check_is_file
from .common import add_config_arguments, download_errors, load_config
from .config_errors import config_errors
from .console import quiet_loggers

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..calibration.selection import Selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--held-out',
        required=True,
        metavar='FILE',
        help='LVIS or COCO json (a list for classifiers) of images that were not trained on',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='where results go')
    parser.add_argument(
        '--train',
        metavar='FILE',
        help='what was trained on; default: that of the config',
    )
    parser.add_argument('--images', metavar='DIR', help='folder of the held-out images')
    parser.add_argument(
        '--rules', metavar='FILE', help='.py or .json with rules = [...]; default: about 60'
    )
    parser.add_argument('--metric', help='what is to rise (default: AP; macro for classifiers)')
    parser.add_argument(
        '--keep',
        nargs='+',
        default=None,
        metavar='METRIC=LOSS',
        help='what may fall by at most so much (default: APf=0.005; none for classifiers)',
    )
    parser.add_argument(
        '--masks',
        choices=['check', 'sweep', 'none'],
        default='check',
        help='where a detector makes masks: judge by boxes and measure masks of the choice (check, '
        'the default), judge by masks, which takes longer (sweep), leave them out (none)',
    )
    parser.add_argument('--resamples', type=int, default=100, metavar='N', help='of the bootstrap')
    parser.add_argument('--seed', type=int, default=0, help='of the halves and the bootstrap')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with a sweep that was interrupted, or choose anew from a complete one',
    )
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from ..calibration.select import check_options
    from ..calibration.selection import METRICS
    from ..compat.checkpoint import restrict_checkpoint_loading

    check_paths(args)
    keep = parse_keep(args.keep)
    cfg = load_config(args)
    names = METRICS['classifier' if classifies(cfg) else 'detector']
    args.metric = args.metric or names[0]
    check_options(names, args.metric, keep, args.resamples)
    restrict_checkpoint_loading(args.trust_checkpoint)
    with quiet_loggers(not args.verbose), download_errors(cfg), config_errors(cfg):
        calibrate = of_classifier if classifies(cfg) else of_detector
        selection = calibrate(cfg, args, keep)
    print_selection(selection, Path(args.out))


def check_paths(args: argparse.Namespace) -> None:
    """Refuse paths that are not there, and a folder that cannot be written to.

    Raises:
        UserError: Names the option and the path.
    """
    if '://' not in args.checkpoint:
        check_is_file(args.checkpoint, 'checkpoint')
    for option in ('held_out', 'train', 'rules'):
        path = getattr(args, option)
        if path is not None:
            check_is_file(path, f'--{option.replace("_", "-")}')
    if args.images is not None and not Path(args.images).is_dir():
        raise MissingFileError(f'--images {args.images} is no folder')
    out = Path(args.out)
    new = not out.exists()
    check_folder(out)
    if new:  # until there is something to write
        out.rmdir()


def of_detector(cfg: Config, args: argparse.Namespace, keep: dict | None) -> Selection:
    from mmdet.utils import register_all_modules

    from ..calibration.detect import Options, calibrate_detector
    from ..calibration.detector_data import DetectorData

    register_all_modules(init_default_scope=True)
    options = Options(
        rules=args.rules,
        metric=args.metric,
        keep=keep,
        iou_type='segm' if args.masks == 'sweep' else 'bbox',
        check_masks=args.masks == 'check',
        resamples=args.resamples,
        seed=args.seed,
        resume=args.resume,
    )
    data = DetectorData(cfg, args.held_out, args.train, args.images)
    return calibrate_detector(cfg, args.checkpoint, data, args.out, options)


def of_classifier(cfg: Config, args: argparse.Namespace, keep: dict | None) -> Selection:
    from ..calibration.classify import calibrate_classifier
    from ..calibration.settings import default_settings, read_settings

    for option, given in (
        ('masks', args.masks != 'check'),
        ('resume', args.resume),
    ):
        if given:
            raise BadInputError(f'--{option} is for detectors, and the config is of a classifier')
    settings = (
        read_settings(args.rules, background=False)
        if args.rules
        else default_settings('softmax', background=False)
    )
    return calibrate_classifier(
        cfg,
        args.checkpoint,
        args.held_out,
        args.train,
        args.out,
        settings,
        images=args.images,
        metric=args.metric,
        keep=keep,
        resamples=args.resamples,
        seed=args.seed,
    )


def parse_keep(texts: list[str] | None) -> dict[str, float] | None:
    """``['APf=0.005']`` as a dict; ``['none']`` is an empty one."""
    if texts is None or texts == ['none']:
        return None if texts is None else {}
    keep = {}
    for text in texts:
        name, _, loss = text.partition('=')
        try:
            keep[name] = float(loss)
        except ValueError:
            raise BadInputError(
                f'--keep has {text}, expected METRIC=LOSS as APf=0.005, or none'
            ) from None
    return keep


def print_selection(selection: Selection, out: Path) -> None:
    """The choice, what it is worth and where it is."""
    from ..calibration.choice import read_choice

    before = selection.metrics[selection.settings.index('identity')]
    candidate = selection.settings[selection.candidate]
    rows = {'as it is': before}
    if candidate != 'identity':
        rows[candidate] = selection.metrics[selection.candidate]
    rows['cross-fitted gain'] = {name: selection.gains[name].gain for name in before}
    masks = read_choice(out / 'choice.json').masks or {}
    rows.update({f'masks, {name}': values for name, values in masks.items()})
    width = max(map(len, rows)) + 1
    print(f'\n{"":{width}}' + ''.join(f'{name:>9}' for name in before))
    for name, values in rows.items():
        sign = '+' if name.endswith('gain') else ''
        print(f'{name:{width}}' + ''.join(f'{_number(values[n], sign):>9}' for n in before))
    number = selection.num_images['all']
    print(f'{number} held-out images, {len(selection.settings)} settings: {selection.reason}')
    if selection.fold:
        print(f'choice: {candidate}; lt_det fold CHECKPOINT {out / "choice.json"} OUT.pth')
    else:
        print('choice: leave the model as it is')
    files = ('choice.json', 'sweep.csv', 'calibration.html')
    print('files: ' + ', '.join(str(out / name) for name in files))


def _number(value: float | None, sign: str = '') -> str:
    return '-' if value is None else f'{value:{sign}.4f}'
