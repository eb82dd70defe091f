"""The command ``lt_det``: one sub-command per module; none imports torch before it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from ..version import __version__
from .common import user_errors

# in the order of a person's way: split and look at the data, write a config, train, test, use
COMMANDS = (
    'split',
    'inspect',
    'init',
    'train',
    'test',
    'report',
    'calibrate',
    'fold',
    'predict',
    'evaluate',
)

WAY = """\
your own data (lt_det split all.json makes train.json and val.json of one file):
  lt_det inspect train.json val.json --images images/
  lt_det init train.json val.json --images images/ --model mask_rcnn_r50 --method iif --out mine.py
  lt_det train mine.py
  lt_det report work_dirs/mine
  lt_det predict mine.py work_dirs/mine/epoch_12.pth more_images/

a trained checkpoint, with images that it has not seen:
  lt_det calibrate mine.py epoch_12.pth --held-out held.json --out calibrated/
  lt_det fold epoch_12.pth calibrated/choice.json stock.pth

each command has a help of its own: lt_det train --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments, without the program; by default those of the process.

    Returns:
        Exit status: 0, 1 where the answer of a command is "no", 2 on bad input.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog='lt_det',
        description='Long-tailed detection and classification: find the rare classes too.',
        epilog=WAY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'lt_det {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    modules = {name: import_module(f'.{name}', __package__) for name in COMMANDS}
    for name, module in modules.items():
        add_parser(commands, name, module)
    args = parser.parse_args(argv)
    return run(modules[args.command], args)


def run_tool(name: str) -> int:
    """Run a sub-command as a program of its own, as ``tools/train.py`` does."""
    module = import_module(f'.{name}', __package__)
    parser = argparse.ArgumentParser(**description(module))
    module.add_arguments(parser)
    return run(module, parser.parse_args())


def add_parser(commands: argparse._SubParsersAction, name: str, module: ModuleType) -> None:
    texts = description(module)
    line = texts['description'].split('\n')[0].rstrip('.')
    module.add_arguments(commands.add_parser(name, help=line[0].lower() + line[1:], **texts))


def description(module: ModuleType) -> dict:
    return dict(description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)


def run(module: ModuleType, args: argparse.Namespace) -> int:
    with user_errors(getattr(args, 'verbose', False)):
        return module.run(args) or 0
