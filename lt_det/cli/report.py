"""Show a run as one html file: what the detector does to its rare classes, and why.

    lt_det report work_dirs/mine
    lt_det report work_dirs/mine/test --against work_dirs/baseline/test --out report.html

From the files of the run alone, which training and test have left in the work dir. The page needs
no server and no network. The two runs are compared image by image, on the same annotation file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import BadInputError, MissingFileError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', metavar='WORK_DIR', help='with a metrics.json')
    parser.add_argument('--against', metavar='WORK_DIR', help='of the baseline')
    parser.add_argument('--out', metavar='FILE', help='default: report.html beside metrics.json')
    parser.add_argument(
        '--resamples',
        type=int,
        default=100,
        metavar='N',
        help='of the images, for the intervals (default: 100)',
    )


def run(args: argparse.Namespace) -> None:
    if args.resamples < 1:
        raise BadInputError(f'--resamples: expected at least 1, got {args.resamples}')
    if args.out and not args.out.endswith(('.html', '.htm')):
        raise BadInputError(f'--out is {args.out}, expected a file name that ends in .html')
    if args.out and not Path(args.out).parent.is_dir():
        raise MissingFileError(f'--out is {args.out}, in a folder that does not exist')
    from ..report.page.write import write_report

    path, notes = write_report(args.work_dir, args.against, args.out, args.resamples)
    for note in notes:
        print(f'note: {note}')
    print(f'written: {path}')
