"""The trained CLIP as a file that open_clip reads."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ExportClipHook(Hook):
    """After training, writes both towers to WORK_DIR/``name``.

    ``open_clip.create_model(..., pretrained=FILE)`` and ``clip.pretrained`` of ``BALLAD`` take it.

    Args:
        name: Of the file.
    """

    def __init__(self, name: str = 'clip.pt') -> None:
        self.name = name

    @master_only
    def after_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        path = Path(runner.work_dir, self.name)
        torch.save(dict(state_dict=model.clip.state_dict()), path)
        runner.logger.info(f'towers for open_clip: {path}')
