from .balanced_contrastive_loss import BalancedContrastiveLoss
from .class_balanced_loss import ClassBalancedLoss
from .eqlv2 import LongTailEQLV2Loss
from .federated import FederatedLoss
from .ldam_loss import LDAMLoss
from .seesaw import LongTailSeesawLoss

__all__ = [
    'BalancedContrastiveLoss',
    'ClassBalancedLoss',
    'FederatedLoss',
    'LDAMLoss',
    'LongTailEQLV2Loss',
    'LongTailSeesawLoss',
]
