"""Write a config of at most 30 lines for your own data.

    lt_det init train.json val.json --images images/ --model mask_rcnn_r50 --method iif

Annotation files are read as training reads them; lt_det inspect looks at masks and images too.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInputError, MissingFileError, listed
from ..formats.files import looks_like_checkpoint
from .methods import METHODS
from .own_config import BOUNDS, OwnData, Schedule, config_text, names_fit
from .own_models import MODELS

if TYPE_CHECKING:
    from ..formats.annotation_columns import AnnotationColumns
    from ..frequency import ClassFrequency


WITH_MASKS, OF_BOXES = 'mask_rcnn_r50', 'faster_rcnn_r50'


def models() -> list[str]:
    """Names of the models that there are bases for."""
    return sorted(MODELS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    methods = '\n'.join(f'  {name:18}{method.text}' for name, method in METHODS.items())
    parser.epilog = f'methods:\n{methods}\n\nmodels, and methods of each:\n{models_by_methods()}'
    parser.add_argument('train', help='training json, COCO or LVIS format')
    parser.add_argument('val', help='validation json; its images must not be in training')
    parser.add_argument('--images', help='image folder; default: found near the json')
    parser.add_argument('--val-images', help='image folder of the validation; default: --images')
    parser.add_argument(
        '--model', help=f'default: {WITH_MASKS}, or {OF_BOXES} where no object has a mask'
    )
    parser.add_argument('--method', default='iif', help='default: %(default)s')
    parser.add_argument('--gpus', type=int, default=1, help='0 for a CPU; default: 1')
    parser.add_argument('--batch-size', type=int, default=4, help='images per GPU; default: 4')
    parser.add_argument('--epochs', type=int, help='default: 12, more for less than 3,000 images')
    parser.add_argument(
        '--weights',
        help="to start from: coco (default), imagenet, none, or a detector's checkpoint",
    )
    parser.add_argument(
        '--bounds',
        nargs=2,
        type=int,
        default=BOUNDS,
        metavar='N',
        help='most training images of a rare and of a common class; default: 10 100',
    )
    parser.add_argument('--out', help='the config; default: MODEL_METHOD.py')


def models_by_methods() -> str:
    """Lines of models, and behind them the methods that they can have."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in models():
        alike.setdefault(tuple(MODELS[name].methods), []).append(name)
    lines = [
        line
        for methods, names in alike.items()
        for line in (*wrap(', '.join(names), '  '), *wrap(', '.join(methods), '      '))
    ]
    return '\n'.join(lines)


def wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent)


def run(args: argparse.Namespace) -> None:
    check_choices(args)
    from ..formats.annotation_cache import load_columns
    from ..frequency import ClassFrequency
    from ..report.summary import summarize

    train = None
    if args.model is None:
        train = load_columns(args.train, make_cache=False)
        pastes = METHODS[args.method].paste
        args.model = WITH_MASKS if pastes or has_masks(train) else OF_BOXES
    check_method(args)
    out = Path(args.out or f'{args.model}_{args.method}.py')
    if out.suffix != '.py':
        raise BadInputError(f'--out is {out}, expected the name of a config, which ends in .py')
    names_file = out.with_name(f'{out.stem}_classes.txt')
    for path in (out, names_file):
        refuse_to_overwrite(path)
    train = train or load_columns(args.train, make_cache=False)
    val = load_columns(args.val, make_cache=False)
    train.require_annotations()
    train.say_remarks(training=True)
    val.say_remarks(training=False)
    frequency = ClassFrequency.from_columns(train)
    classes = classes_to_train(frequency, val, args)
    shown = ClassFrequency(
        frequency.image_count[frequency.image_count > 0],
        frequency.instance_count[frequency.image_count > 0],
        frequency.num_images,
    )
    refuse_same_images(train, val, args)
    check_rare(frequency, args)
    check_masks(train, args)
    images = image_folder(train, args.train, args.images, '--images')
    shared = args.images is not None and args.val_images is None
    val_images = image_folder(
        val,
        args.val,
        args.images if shared else args.val_images,
        '--images' if shared else '--val-images',
        '; --val-images gives them a folder of their own' if shared else '',
    )
    data = OwnData(
        train=args.train,
        val=args.val,
        images=images,
        val_images=val_images,
        classes=classes,
        names_file=str(names_file),
        num_images=train.num_images,
        protocol='lvis' if val.federated else 'coco',
        bounds=tuple(args.bounds),
        summary=f'{train.num_images:,} images, {summarize(shown, args.bounds)}',
    )
    schedule = Schedule.of(train.num_images, args.gpus, args.batch_size, args.epochs)
    parts = (data, args.model, args.method, schedule, args.weights, command())
    text = config_text(*parts)
    if not names_fit(text) and write_names(names_file, classes):
        text = config_text(*parts, names_inline=False)
    write_new(out, text)
    print(f'{out}: {args.model}, {args.method}; {data.summary}')
    print_next(out, args, schedule, train.num_images)


def check_rare(frequency: ClassFrequency, args: argparse.Namespace) -> None:
    """Refuse to paste objects of rare classes where there are none."""
    count = frequency.image_count
    least = min(count[count > 0].tolist(), default=0)
    if MODELS[args.model].methods[args.method].paste and least > args.bounds[1]:
        raise BadInputError(
            f'--method {args.method} pastes objects of classes in at most {args.bounds[1]} '
            f'training images, but the rarest is in {least}; expected other --bounds, or another '
            'method'
        )


def refuse_same_images(
    train: AnnotationColumns, val: AnnotationColumns, args: argparse.Namespace
) -> None:
    """Refuse a validation on images that are trained on, by id and name."""
    from ..inspection.pair import shared_images

    shared = shared_images(train, val)
    same_file = Path(args.train).resolve() == Path(args.val).resolve()
    same_folder = args.images is not None and args.val_images is None
    if shared and (same_file or same_folder):
        raise BadInputError(
            f'{args.val}: {len(shared)} of {val.num_images} images are in {args.train} too, the '
            f'first is {shared[0]}; expected images that are not trained on'
        )


def write_new(path: Path, text: str) -> None:
    with path.open('x', encoding='utf-8') as file:
        file.write(text)


def write_names(path: Path, classes: tuple[str, ...]) -> bool:
    """Write a name per line, unless they would be read as others: with spaces at an end, say.

    Returns:
        Whether there is such a file now.
    """
    from ..datasets.class_names import read_class_names

    try:
        write_new(path, '\n'.join(classes) + '\n')
        same = read_class_names(path) == list(classes)
    except UnicodeEncodeError:  # half of a character
        same = False
    if not same:
        path.unlink()
    return same


def print_next(out: Path, args: argparse.Namespace, schedule: Schedule, num_images: int) -> None:
    config, folder = shlex.quote(str(out)), shlex.quote(f'work_dirs/{out.stem}')
    checkpoint = f'{folder}/epoch_{schedule.epochs}.pth'
    gpus = f' --gpus {args.gpus}' if args.gpus > 1 else ''
    batch = schedule.batch_size * max(schedule.gpus, 1)
    print(
        f'it trains {schedule.epochs} epochs of {num_images:,} images, {batch} at a time, on '
        f'{schedule.machine}; --epochs N trains N'
    )
    print(f'next:  lt_det train {config}{gpus}')
    offered = MODELS[args.model].methods
    if not offered[args.method].trains:
        plain = next(iter(offered))
        print(f'or, with a {plain} detector of these classes:  lt_det test {config} CHECKPOINT')
    print(f'then:  lt_det predict {config} {checkpoint} IMAGES')


def check_choices(args: argparse.Namespace) -> None:
    for option, value, known in (
        ('--model', args.model, models()),
        ('--method', args.method, list(METHODS)),
    ):
        if value is not None and value not in known:
            raise BadInputError(f'{option} is {value!r}; there are {", ".join(known)}')
    for option, value, least in (
        ('--gpus', args.gpus, 0),
        ('--batch-size', args.batch_size, 1),
        ('--epochs', args.epochs, 1),
    ):
        if value is not None and value < least:
            raise BadInputError(f'{option} is {value}, expected {least} or more')
    if not 0 < args.bounds[0] < args.bounds[1]:
        raise BadInputError(f'--bounds is {args.bounds}, expected two rising numbers')
    if args.weights == 'coco' and (args.model or '').endswith('_r18'):
        raise BadInputError(
            f'--weights is coco, which {args.model} has none of; expected imagenet, none or a file'
        )
    if args.weights not in (None, 'coco', 'imagenet', 'none') and not (
        '://' in args.weights or Path(args.weights).is_file()
    ):
        raise MissingFileError(
            f'--weights is {args.weights}; expected coco, imagenet, none, or a checkpoint that '
            'exists'
        )
    if args.weights and Path(args.weights).is_file() and not looks_like_checkpoint(args.weights):
        raise BadInputError(
            f'--weights is {args.weights}, which does not begin as a checkpoint; expected coco, '
            'imagenet, none, or a file that torch.save wrote'
        )


def check_method(args: argparse.Namespace) -> None:
    own = MODELS[args.model]
    if args.method not in own.methods:
        raise BadInputError(
            f'--method is {args.method!r}, which {args.model}, of {own.scores}, cannot have; '
            f'expected one of {", ".join(own.methods)}'
        )


def refuse_to_overwrite(path: Path) -> None:
    if path.exists():
        raise BadInputError(f'{path} exists; expected a new file: --out names another')
    if not path.parent.is_dir():
        raise MissingFileError(f'--out is {path}, but the folder {path.parent} does not exist')


def classes_to_train(
    frequency: ClassFrequency, val: AnnotationColumns, args: argparse.Namespace
) -> tuple[str, ...]:
    """Names of the classes with a training image, all of which the validation must have."""
    counts = frequency.image_count
    names = tuple(name for name, count in zip(frequency.class_names, counts) if count)
    if len(names) < len(counts):
        empty = frequency.empty_classes
        print(
            f'note: {args.train}: classes without a training image are left out ({len(empty)}): '
            f'{listed(empty)}',
            file=sys.stderr,
        )
    missing = [name for name in names if name not in set(val.category_names)]
    if missing:
        raise BadInputError(
            f'{args.val} lacks {len(missing)} of the {len(names)} classes of {args.train}: '
            f'{listed(missing)}; expected the same categories in both'
        )
    return names


def has_masks(train: AnnotationColumns) -> bool:
    """Whether any object that is learned has a mask; a file without objects has."""
    from ..formats.annotation_masks import NO_MASK

    usable = train.arrays['usable'] & ~train.arrays['crowd']
    return not usable.any() or (train.arrays['mask_problem'][usable] != NO_MASK).any()


def check_masks(train: AnnotationColumns, args: argparse.Namespace) -> None:
    import numpy as np

    from ..formats.annotation_masks import NO_MASK

    own = MODELS[args.model]
    usable = train.arrays['usable'] & ~train.arrays['crowd']
    without = train.arrays['mask_problem'] == NO_MASK
    if not own.masks or not usable.any():
        return
    if not has_masks(train):
        raise BadInputError(
            f'--model is {args.model}, but no annotation of {args.train} has a mask; expected a '
            f'model of boxes: {", ".join(name for name in models() if not MODELS[name].masks)}'
        )
    coded = np.zeros_like(usable)
    coded[train.arrays['other']] = True
    if own.polygons and (without | coded)[usable].all():
        others = [name for name in models() if MODELS[name].masks and not MODELS[name].polygons]
        raise BadInputError(
            f'--model is {args.model}, which learns masks from polygons alone, but no mask of '
            f'{args.train} is one; expected {", ".join(others)}'
        )


def image_folder(
    columns: AnnotationColumns, json: str, given: str | None, option: str, remedy: str = ''
) -> str:
    """The folder that has the images of a file: the one given, or one near the json.

    Args:
        columns: Of the file.
        json: Its path.
        given: The folder of the user, or None.
        option: What gives it.
        remedy: What follows the message.

    Raises:
        MissingFileError: The first images are not there; names the paths that were tried.
    """
    from ..formats.image_paths import find_image, require_names, tried

    require_names(columns)
    folders = [given] if given else folders_near(Path(json))
    first = [columns.image_names(number) for number in range(min(3, columns.num_images))]
    missing = ''
    for folder in folders:
        absent = [name for name in first if not Path(find_image(*name, folder)).is_file()]
        if not absent:
            return folder
        missing = missing or tried(*absent[0], folder)
    what = 'is not given' if given is None else f'is {given}'
    raise MissingFileError(
        f'{option} {what}: the first images of {json} are not there, tried {missing}{remedy}'
    )


def folders_near(json: Path) -> list[str]:
    """Where the images of a json usually are."""
    names = ('', 'images', 'img', json.stem, f'images/{json.stem}', 'train', 'val')
    return [f'{folder / name}/' for folder in (json.parent, json.parent.parent) for name in names]


def command() -> str:
    return shlex.join(['lt_det', *sys.argv[1:]])
