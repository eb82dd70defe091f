"""Split one json into training, validation and held-out images.

    lt_det split all.json --val 0.2 --held 0.1

Rare classes are on both sides: a class in two or more images is trained on and validated, as far as
images with several classes allow. Images stay where they are; their annotations go whole.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInputError, listed
from ..values import is_kind

if TYPE_CHECKING:
    from ..datasets.split import Part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', help='json in COCO or LVIS format')
    parser.add_argument(
        '--val', type=float, default=0.2, metavar='SHARE', help='of the images; default: 0.2'
    )
    parser.add_argument(
        '--held',
        type=float,
        default=0.0,
        metavar='SHARE',
        help='for lt_det calibrate, which needs images that were neither trained on nor looked at; '
        'default: 0, no such file',
    )
    parser.add_argument('--seed', type=int, default=0, help='another one gives other parts')
    parser.add_argument(
        '--by-folder',
        action='store_true',
        help='images of a folder stay together: frames of a video, say, which are almost the same',
    )
    parser.add_argument('--out', help='folder of the new files; default: that of the json')


def run(args: argparse.Namespace) -> None:
    shares = {'val': args.val, 'held': args.held}
    for name, share in shares.items():
        if not is_kind(share, 'a number in [0, 1)'):
            raise BadInputError(f'--{name} is {share}, expected a share of the images, 0 to 1')
    train = 1 - sum(shares.values())
    if train <= 0:
        raise BadInputError(
            f'--val is {args.val} and --held is {args.held}; expected less than 1 together, so '
            'that images to train on are left'
        )
    shares = {'train': train, **{name: share for name, share in shares.items() if share}}
    if len(shares) == 1:
        raise BadInputError(
            '--val and --held are 0; expected a share of the images for one of them'
        )
    if args.seed < 0:
        raise BadInputError(f'--seed is {args.seed}, expected 0 or more')
    from ..datasets.split import split_file

    source = Path(args.source)
    out = source.parent if args.out is None else Path(args.out)
    parts = split_file(source, shares, out, args.seed, args.by_folder)
    print(table(parts))
    for part in parts:
        print_missing(part, parts)
    first = ' '.join(shlex.quote(str(part.path)) for part in parts[:2])
    print(f'next:  lt_det inspect {first} --images IMAGES')


def table(parts: list[Part]) -> str:
    """A line per file: images, instances, and classes by their number of training images."""
    groups = parts[0].frequency.groups('lvis')
    width = max(len(str(part.path)) for part in parts)
    rows = [f'{"":{width}}  images  instances  rare  common  frequent classes']
    for part in parts:
        there = part.frequency.image_count > 0
        rare, common, frequent = (int((there & (groups == group)).sum()) for group in 'rcf')
        rows.append(
            f'{part.path!s:{width}}  {part.frequency.num_images:6}  '
            f'{part.frequency.num_instances:9}  {rare:4}  {common:6}  {frequent:8}'
        )
    return '\n'.join(rows)


def print_missing(part: Part, parts: list[Part]) -> None:
    """Say which classes of the whole have no image in a part."""
    count = sum(other.frequency.image_count for other in parts)
    missing = (count > 0) & (part.frequency.image_count == 0)
    names = [part.frequency.name_of(label) for label in missing.nonzero()[0].tolist()]
    if names:
        once = (count[missing] == 1).sum()
        those = f', of which {once} are in one image alone' if once else ''
        print(
            f'note: {part.path} has no image of {len(names)} classes{those}: {listed(names)}',
            file=sys.stderr,
        )
