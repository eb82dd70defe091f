"""Show what an annotation file holds: its tail, its problems, and what to begin with.

    lt_det inspect train.json
    lt_det inspect train.json val.json --images images/
    lt_det inspect train.json val.json --json -

Beside each problem stands what training and evaluation do with it. Exit status: 0 where nothing is
lost, 1 where something is (refused, dropped, ignored, boxes that are most likely corners, or images
of validation that are trained on), 2 on a wrong call. Marks that are meant so (iscrowd) and images
without annotations lose nothing.

--json FILE (- for the standard output, in place of the page) writes

    train, val, images, val_images
                         as given, or null
    status               the exit status
    files                by train and val: protocol (whose rules evaluate it, lvis or coco),
                         num_images, num_annotations, num_classes
    classes              null, or num_classes, num_images, num_annotations, num_instances (what
                         training learns from), with_masks, without_images (classes),
                         imbalance_images, imbalance_instances, median_images, bounds, groups (rare,
                         common, frequent), proposed_bounds, proposed_groups, rarest, largest (name,
                         images, instances)
    problems             list of file (train, val, both), kind, count, counted (what), text, first
                         (ids, names or paths), training and evaluation (what: used, filled,
                         clipped, ignored, dropped, refused; text), lost (true or false)
    recommendation       null, or method, model, sampling, repeat_threshold, bounds, reasons,
                         command
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import MissingFileError
from ..formats.files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('train', metavar='TRAIN.json', help='COCO or LVIS format')
    parser.add_argument('val', metavar='VAL.json', nargs='?', help='the same for validation')
    parser.add_argument('--images', metavar='DIR', help='look at the image files in this folder')
    parser.add_argument(
        '--val-images', metavar='DIR', help='the same for VAL.json; default: --images'
    )
    parser.add_argument('--json', metavar='FILE', help='write the answer as json; - for stdout')


def run(args: argparse.Namespace) -> int:
    if args.json not in (None, '-') and not Path(args.json).parent.is_dir():
        raise MissingFileError(f'--json is {args.json}, in a folder that does not exist')
    from ..inspection import inspect_files

    inspection = inspect_files(args.train, args.val, args.images, args.val_images)
    if args.json:
        text = json.dumps(inspection.as_dict(), indent=2) + '\n'
    if args.json == '-':
        sys.stdout.write(text)
        return inspection.status
    from ..inspection.text import format_inspection

    if args.json:
        write_text(args.json, text)
    print(printable(format_inspection(inspection)))
    return inspection.status


def printable(text: str) -> str:
    """A text with escapes for what the standard output cannot show, of class names for example."""
    encoding = sys.stdout.encoding or 'utf-8'
    return text.encode(encoding, 'backslashreplace').decode(encoding)
