"""De-biasing rules at the logits, all of them affine maps per class."""

from .base import (
    ADJUSTMENTS,
    ComposedAdjustment,
    LogitAdjustment,
    build_adjustment,
    register_adjustment,
    show_classifier,
)
from .fracal import FRACAL
from .iif import IIF
from .learned_scale import LearnedScale
from .norcal import NorCal
from .prior_shift import PriorShift
from .tau_norm import TauNorm
from .temperature import Temperature

__all__ = [
    'ADJUSTMENTS',
    'FRACAL',
    'IIF',
    'ComposedAdjustment',
    'LearnedScale',
    'LogitAdjustment',
    'NorCal',
    'PriorShift',
    'TauNorm',
    'Temperature',
    'build_adjustment',
    'register_adjustment',
    'show_classifier',
]
