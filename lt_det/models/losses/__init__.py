from .class_balanced_loss import ClassBalancedLoss
from .ldam_loss import LDAMLoss

__all__ = ['ClassBalancedLoss', 'LDAMLoss']
