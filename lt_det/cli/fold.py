"""Write weights with a chosen rule in them, which MMDetection runs without lt_det.

    lt_det fold work_dirs/mine/epoch_12.pth calibrated/choice.json stock.pth

The rule is the one that lt_det calibrate has chosen for this checkpoint. Beside the weights stands
the stock config (stock.py), with which tools/test.py of MMDetection tests them.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='the checkpoint that was calibrated')
    parser.add_argument('choice', help='choice.json that lt_det calibrate wrote')
    parser.add_argument('out', help='the new checkpoint, a name that ends in .pth')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that hold more than tensors, and their config where its file is '
        'gone; this runs code that they contain',
    )
    parser.add_argument('--verbose', action='store_true', help='show warnings of other packages')


def run(args: argparse.Namespace) -> None:
    from .console import quiet_loggers

    with quiet_loggers(not args.verbose):
        from ..calibration.fold import fold  # what other packages print goes to the log

        folded = fold(args.checkpoint, args.choice, args.out, args.trust_checkpoint)
    print(f'{folded.setting} is folded into {", ".join(folded.layers)}')
    if folded.dropped:
        kinds = sorted({_kind(name) for name in folded.dropped})
        print(f'left out: {len(folded.dropped)} entries that only lt_det has ({", ".join(kinds)})')
    if folded.needs:
        print(f'lt_det is needed all the same, for {", ".join(folded.needs)}')
    print(f'written: {folded.checkpoint}, {folded.config}')


def _kind(name: str) -> str:
    """The module that an entry belongs to, without the path before it."""
    return '.'.join(name.split('.')[-2:])
