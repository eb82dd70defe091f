"""Train a detector or classifier.

lt_det train configs/lvis/mask_rcnn_r50_iif.py
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from ..errors import BadInputError
from ..label_order import check_categories, check_order
from .common import add_common_arguments, build_runner, download_errors, load_config
from .config_errors import config_errors
from .console import quiet_loggers
from .lost_processes import lost_processes
from .ranks import start_ranks
from .worker_errors import worker_errors

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint; without a value, from the latest in the work dir',
    )
    parser.add_argument('--gpus', type=int, default=1, help='GPUs of this machine; default: 1')
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.gpus > 1:
        return start_processes(args)
    cfg = load_config(args)
    check_categories(cfg, 'train')
    check_order(cfg, 'val')
    make_resumable(cfg)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise BadInputError(
                f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    quiet = quiet_loggers(not args.verbose)
    try:
        with quiet, download_errors(cfg), lost_processes(), worker_errors(), config_errors(cfg):
            build_runner(cfg, args).train()
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt('go on with --resume') from interrupt
    return 0


def make_resumable(cfg: Config) -> None:
    """Have any config train so that an interruption costs what came after the last checkpoint.

    MMEngine's CheckpointHook becomes the one that writes whole files, and EpochSeedHook is added
    where it is missing.
    """
    # what MMEngine takes where a config has none
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    cfg.default_hooks = {**hooks, **(cfg.get('default_hooks') or {})}
    checkpoint = cfg.default_hooks.checkpoint
    if checkpoint is not None and _name(checkpoint) == 'CheckpointHook':
        checkpoint['type'] = 'WholeCheckpointHook'
    own = cfg.get('custom_hooks') or []
    if not any(_name(hook) == 'EpochSeedHook' for hook in own):
        cfg.custom_hooks = [*own, dict(type='EpochSeedHook')]


def _name(hook: dict) -> str:
    """The name of a hook's class, which a config gives as text, with a scope or not, or itself."""
    kind = hook.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def start_processes(args: argparse.Namespace) -> int:
    """Start this command once per GPU; its exit status."""
    if args.launcher != 'none':
        raise BadInputError(
            f'--gpus is {args.gpus} with --launcher {args.launcher}; expected one of the two'
        )
    arguments = sys.argv[1:]
    if os.path.basename(sys.argv[0]) == 'train.py':  # tools/train.py
        arguments = ['train', *arguments]
    # the later of two --gpus counts
    again = [*arguments, '--gpus', '1', '--launcher', 'pytorch']
    return start_ranks(again, args.gpus)
