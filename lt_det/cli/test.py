"""Evaluate a checkpoint.

lt_det test configs/lvis/mask_rcnn_r50_iif.py work_dirs/mask_rcnn_r50_iif/epoch_12.pth
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config_parts import classifies
from ..errors import BadInputError
from ..formats.files import check_is_file, check_writable
from ..label_order import check_order
from .common import add_common_arguments, build_runner, download_errors, load_config
from .config_errors import config_errors
from .console import quiet_loggers
from .lost_processes import lost_processes
from .tta import use_tta
from .worker_errors import worker_errors

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='write the predictions to this pickle file')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', help='write painted images to this folder in the work dir')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds a shown image stays')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    add_common_arguments(parser)


def show_predictions(cfg: Config, args: argparse.Namespace) -> Config:
    """Switch the config's visualization hook on."""
    if not classifies(cfg):
        from mmdet.engine.hooks.utils import trigger_visualization_hook

        return trigger_visualization_hook(cfg, args)
    hook = cfg.default_hooks.setdefault('visualization', dict(type='VisualizationHook'))
    hook.update(enable=True, interval=1, show=args.show, wait_time=args.wait_time)
    if args.show_dir:
        hook.out_dir = str(Path(cfg.work_dir, args.show_dir))
    return cfg


def run(args: argparse.Namespace) -> None:
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise BadInputError(f'--out is {args.out}, expected a file name that ends in .pkl')
    if args.out:
        check_writable(args.out)
    if '://' not in args.checkpoint:
        check_is_file(os.path.expanduser(args.checkpoint), 'checkpoint')
    cfg = load_config(args)
    check_order(cfg, 'test')
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        cfg = show_predictions(cfg, args)
    if args.tta:
        use_tta(cfg)
    quiet = quiet_loggers(not args.verbose)
    with quiet, download_errors(cfg), lost_processes(), worker_errors(), config_errors(cfg):
        runner = build_runner(cfg, args)
        if args.out:
            from mmdet.evaluation import DumpDetResults

            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
        runner.test()
