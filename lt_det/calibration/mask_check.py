"""What a setting that was chosen by boxes does to masks: one more pass, of two settings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import nn

from .detector_data import DetectorData
from .overlay import Rule, overlays
from .precisions import AveragePrecisions, metrics_of
from .settings import IDENTITY, Setting
from .spool import Spool
from .sweep import Sweep


def mask_metrics(
    cfg: Config,
    checkpoint: str | os.PathLike,
    data: DetectorData,
    out_dir: str | os.PathLike,
    setting: Setting,
    rules: Sequence[Rule | None],
    groups: Mapping[str, np.ndarray],
    images: np.ndarray,
    progress: bool = True,
) -> dict[str, dict[str, float | None]]:
    """AP of masks ``'before'`` and ``'after'`` a setting, by metric; None where nothing is to find.

    Args:
        cfg, checkpoint: The detector, which predicts masks.
        data: The held-out images.
        out_dir: Folder of what is written.
        setting: The one that was chosen.
        rules: Its rule on each head.
        groups: For each metric its categories, (K,) bool.
        images: (I,) bool, those that are scored.
        progress: Whether to show a progress line.
    """
    folder = Path(out_dir, 'masks')
    shutil.rmtree(folder, ignore_errors=True)

    def prepare(detector: nn.Module) -> tuple[list, list]:
        heads = overlays(detector)
        return heads, [[None] * len(heads), list(rules)]

    def spool(num_settings: int) -> Spool:
        return Spool(folder, num_settings, {'settings': [IDENTITY.name, setting.name]})

    sweep = Sweep(data, 'segm', prepare, spool)
    sweep.run(cfg, checkpoint, Path(out_dir, 'run'), progress)
    precisions = AveragePrecisions(data.truth, sweep.spool, images, 'segm')
    before, after = (metrics_of(precisions, number, groups) for number in range(2))
    shutil.rmtree(folder, ignore_errors=True)
    return {'before': before, 'after': after}


def has_masks(data: DetectorData) -> bool:
    """Whether every annotation that takes part has a mask that can be used."""
    return not data.truth.columns.arrays['mask_problem'][data.truth.rows].any()
