from .cifar_lt import CIFAR10LT, CIFAR100LT
from .list_file_dataset import ListFileDataset
from .long_tail_lvis import LongTailLVISDataset
from .repeat_factor import RepeatFactorDataset
from .samplers import LongTailSampler

__all__ = [
    'CIFAR10LT',
    'CIFAR100LT',
    'ListFileDataset',
    'LongTailLVISDataset',
    'LongTailSampler',
    'RepeatFactorDataset',
]
