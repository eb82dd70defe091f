"""Several trainings from one config, each starting from what an earlier one has trained."""

from __future__ import annotations

import gc
import json
from copy import deepcopy
from functools import cached_property
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.evaluator import Evaluator
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..errors import BadInputError
from ..formats.files import write_text
from .first_stage_hook import FirstStageHook


@RUNNERS.register_module()
class PhaseRunner:
    """Runs the phases that ``run`` lists, one MMEngine Runner each, below one work dir.

    Config keys (``runner_type='PhaseRunner'``):

    - ``phases``: by name, what differs from the rest of the config. ``after`` names the phase whose
      latest checkpoint it starts from, ``train=False`` only validates, ``extra_hooks`` are added to
      the custom hooks.
    - ``run``: names of the phases to run, in order; a test uses the last.

    A phase has the work dir ``WORK_DIR/NAME``. When resuming, phases that are complete pass at
    once, and the one that was interrupted goes on.

    Raises:
        BadInputError: ``run`` names no phase, or ``after`` one that does not exist; a checkpoint to
            resume from lies in none of their work dirs.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.names = list(cfg.get('run', None) or cfg.phases)
        for name in (*self.names, *filter(None, (p.get('after') for p in cfg.phases.values()))):
            if name not in cfg.phases:
                raise BadInputError(
                    f"run: phase '{name}' does not exist; there are {', '.join(cfg.phases)}"
                )

    @classmethod
    def from_cfg(cls, cfg: Config) -> PhaseRunner:
        return cls(cfg)

    def train(self) -> None:
        """Train (or validate) every phase."""
        for name, checkpoint in self._remaining():
            runner = self.build(name, checkpoint)
            if self.cfg.phases[name].get('train', True):
                runner.train()
            else:
                _write_metrics(Path(runner.work_dir), runner.val())
            del runner
            gc.collect()

    def test(self) -> dict:
        """Test the last phase with the checkpoint of the config."""
        return self._last.test()

    @property
    def test_evaluator(self) -> Evaluator:
        return self._last.test_evaluator

    @cached_property
    def _last(self) -> Runner:
        return self.build(self.names[-1], self.cfg.get('load_from'))

    def build(self, name: str, load_from: str | None = None) -> Runner:
        """The runner of a phase; without ``load_from`` it loads what it comes ``after``."""
        cfg = deepcopy(self.cfg)
        for key in ('runner_type', 'phases', 'run'):
            cfg.pop(key, None)
        change = deepcopy(self.cfg.phases[name])
        after = change.pop('after', None)
        trains = change.pop('train', True)
        hooks = change.pop('extra_hooks', [])
        cfg.merge_from_dict(change)
        cfg.work_dir = str(Path(self.cfg.work_dir, name))
        cfg.load_from = load_from
        cfg.experiment_name = name
        if 'visualizer' in cfg:  # MMEngine keeps one for each name, with its first work dir
            cfg.visualizer.pop('name', None)
        if after is not None:
            first = dict(
                work_dir=str(Path(self.cfg.work_dir, after)),
                config=f'{self.cfg.filename} --cfg-options "run=[{after}]"',
            )
            if trains:
                hooks = [*hooks, dict(first, type='FirstStageHook')]
            else:
                cfg.load_from = load_from or FirstStageHook(**first)._find()
        if not trains:
            cfg.default_hooks.checkpoint = None
            cfg.resume = False
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), *hooks]
        return Runner.from_cfg(cfg)

    def _remaining(self) -> list[tuple[str, str | None]]:
        """Phases to run, and the checkpoint each loads or resumes from, if one is named."""
        path = self.cfg.get('load_from')
        if path is None:
            return [(name, None) for name in self.names]
        if not self.cfg.get('resume'):
            return [(self.names[0], path), *((name, None) for name in self.names[1:])]
        folders = [Path(self.cfg.work_dir, name).resolve() for name in self.names]
        inside = [folder in Path(path).resolve().parents for folder in folders]
        if not any(inside):
            raise BadInputError(
                f'--resume {path}: expected a checkpoint in the work dir of a phase, '
                + ' or '.join(map(str, folders))
            )
        start = inside.index(True)
        return [(self.names[start], path), *((name, None) for name in self.names[start + 1 :])]


@master_only
def _write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    plain = {key.split('/')[-1]: value for key, value in metrics.items()}
    write_text(folder / 'metrics.json', json.dumps(plain, indent=2) + '\n')
