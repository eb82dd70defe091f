"""Starts the second stage of a two-stage recipe from what the first has trained."""

from __future__ import annotations

import re
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..errors import BadInputError, MissingFileError
from .checkpoint_hook import latest_checkpoint


@HOOKS.register_module()
class FirstStageHook(Hook):
    """Loads the latest checkpoint in the work dir of the first stage before training starts.

    Nothing is loaded when training resumes or has a ``load_from``, or in testing: the checkpoint
    of the second stage is complete.

    Args:
        work_dir: Work dir of the first stage, or a checkpoint.
        config: Its config, for the message when it has not been trained.
        drop: Prefixes of parameters that start anew, e.g. ``['head.fc']`` (cRT).

    Raises:
        BadInputError: ``drop`` is one text, stands beside ``load_from``, or has what no parameter
            begins with.
        MissingFileError: The work dir has no checkpoint.
    """

    def __init__(self, work_dir: str, config: str | None = None, drop: list[str] | None = None):
        if isinstance(drop, str):
            raise BadInputError(
                f"FirstStageHook.drop is {drop!r}, expected a list such as ['head.fc']"
            )
        self.work_dir = work_dir
        self.config = config
        self.drop = tuple(drop or ())

    def before_run(self, runner: Runner) -> None:
        if not hasattr(runner._train_loop, 'dataloader') or runner._resume:
            return
        if runner._load_from and self.drop:
            raise BadInputError(
                f'load_from is {runner._load_from}, and FirstStageHook.drop {list(self.drop)}, '
                'which would drop nothing of it; expected that file as work_dir of FirstStageHook, '
                'without load_from'
            )
        if not runner._load_from:
            self._find()

    def before_train(self, runner: Runner) -> None:
        if runner._has_loaded:  # resumed, or load_from
            return
        revise = [(rf'^{re.escape(prefix)}\b', f'dropped.{prefix}') for prefix in self.drop]
        path = self._find()
        state = runner.load_checkpoint(path, revise_keys=revise)['state_dict']
        for prefix, (pattern, _) in zip(self.drop, revise):
            if not any(re.match(pattern, name) for name in state):
                raise BadInputError(
                    f'FirstStageHook.drop has {prefix!r}, with which no parameter in {path} '
                    f'begins; expected the beginning of a name, as {next(reversed(state), "")!r}'
                )

    def _find(self) -> str:
        folder = Path(self.work_dir)
        if folder.is_file():
            return str(folder)
        checkpoint = latest_checkpoint(folder)
        if checkpoint is None:
            command = f'lt_det train {_reachable(self.config)}' if self.config else ''
            raise MissingFileError(
                f'this is the second stage of a recipe, and the work dir of the first, {folder}, '
                'has no checkpoint; '
                + (f'train it first: {command}; ' if command else '')
                + 'or name another work dir with work_dir of FirstStageHook'
            )
        return checkpoint


def _reachable(config: str) -> str:
    """A config, by its name in the package where no such file is near; options may follow it."""
    if Path(config.partition(' ')[0]).exists() or not config.startswith('configs/'):
        return config
    return f'lt_det::{config.removeprefix("configs/")}'
