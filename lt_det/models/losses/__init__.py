from .balanced_contrastive_loss import BalancedContrastiveLoss
from .class_balanced_loss import ClassBalancedLoss
from .eqlv2 import LongTailEQLV2Loss
from .equalized_focal import EqualizedFocalLoss
from .federated import FederatedLoss
from .gumbel import GumbelLoss
from .head_losses import check_loss, complete_losses
from .ldam_loss import LDAMLoss
from .seesaw import LongTailSeesawLoss

__all__ = [
    'BalancedContrastiveLoss',
    'ClassBalancedLoss',
    'EqualizedFocalLoss',
    'FederatedLoss',
    'GumbelLoss',
    'LDAMLoss',
    'LongTailEQLV2Loss',
    'LongTailSeesawLoss',
    'check_loss',
    'complete_losses',
]
