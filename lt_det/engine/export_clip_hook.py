"""The trained CLIP as a file that open_clip reads."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..bare_model import bare_model
from ..models.open_clip import export_clip


@HOOKS.register_module()
class ExportClipHook(Hook):
    """After training, writes both towers to WORK_DIR/``name``, averaged where EMAHook averages.

    ``open_clip.create_model(..., pretrained=FILE)`` and ``clip.pretrained`` of ``BALLAD`` take it.
    The file tells the activation and the normalisation of images, and ``BALLAD`` refuses it in a
    model with another activation.

    Args:
        name: Of the file.
    """

    def __init__(self, name: str = 'clip.pt') -> None:
        self.name = name

    @master_only
    def after_train(self, runner: Runner) -> None:
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        model = bare_model(averages[0].module if averages else runner.model)
        path = Path(runner.work_dir, self.name)
        export_clip(model.clip, path)
        runner.logger.info(f'towers for open_clip: {path}')
