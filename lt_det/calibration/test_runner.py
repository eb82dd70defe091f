"""The runner of a test that calibration takes the place of."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner


def runner_of_test(
    cfg: Config, checkpoint: str | os.PathLike, work_dir: Path, progress: bool
) -> Runner:
    """A runner that tests a checkpoint in this process and evaluates nothing.

    Args:
        cfg: The config, which stays as it is.
        checkpoint: Weights, which have to be those of the model.
        work_dir: Of the log.
        progress: Whether to show a progress line.
    """
    cfg = cfg.copy()
    cfg.load_from, cfg.resume, cfg.launcher = str(checkpoint), False, 'none'
    cfg.work_dir = str(work_dir)
    cfg.test_evaluator = []
    hooks = cfg.get('custom_hooks') or []
    # it reports metrics, and here are none
    hooks = [hook for hook in hooks if not str(hook['type']).endswith('ReportHook')]
    ours = ['CheckpointFitHook', *(['ConsoleHook'] if progress else [])]
    cfg.custom_hooks = [*hooks, *(dict(type=hook) for hook in ours)]
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
