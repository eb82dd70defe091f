"""Settings and heads of classifiers, and a sweep over them."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from lt_det.calibration.classifier_data import ClassifierData
from lt_det.calibration.classify import Sweep
from lt_det.calibration.settings import IDENTITY, Setting

ROOT = Path(__file__).parents[3]
SHIFT = dict(type='PriorShift', tau=0.7)
RULES = [
    [SHIFT],
    [dict(type='IIF', link='smooth')],
    [dict(type='TauNorm', tau=0.5)],
    [dict(type='TauNorm', tau=0.5), SHIFT],
]
SETTINGS = [IDENTITY, *(Setting.of(*rules) for rules in RULES)]
IIF_POST = dict(adjustment=dict(type='IIF', link='raw', stage='test'))
HEADS = {
    'ours': dict(type='LongTailClsHead'),
    'stock': dict(type='LinearClsHead'),
    'adjusted': dict(type='LongTailClsHead', **IIF_POST),
}


def swept(cfg: Config, checkpoint: Path, held_out: Path, settings, tmp_path: Path) -> Sweep:
    sweep = Sweep(settings, ClassifierData(cfg, held_out, None), ['macro'])
    sweep.run(cfg, checkpoint, tmp_path / 'run')
    return sweep
