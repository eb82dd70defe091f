from .ballad import BALLAD, ClipDataPreprocessor
from .camc_head import CAMCClsHead
from .cmltnet import CrossModalHead
from .long_tail_cls_head import LongTailClsHead
from .multi_view_preprocessor import MultiViewDataPreprocessor
from .smcl import SMCLClassifier

__all__ = [
    'CAMCClsHead',
    'CrossModalHead',
    'LongTailClsHead',
    'MultiViewDataPreprocessor',
    'SMCLClassifier',
]
