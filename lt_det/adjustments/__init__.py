"""De-biasing rules at the logits, all of them affine maps per class."""

from .base import ADJUSTMENTS, ComposedAdjustment, LogitAdjustment, build_adjustment
from .iif import IIF
from .norcal import NorCal
from .prior_shift import PriorShift

__all__ = [
    'ADJUSTMENTS',
    'IIF',
    'ComposedAdjustment',
    'LogitAdjustment',
    'NorCal',
    'PriorShift',
    'build_adjustment',
]
