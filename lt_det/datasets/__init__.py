from .cifar_lt import CIFAR10LT, CIFAR100LT
from .class_subset import ClassSubsetDataset
from .compact_masks import CompactMasks, LoadCompactAnnotations
from .cross_modal import CrossModalDataset
from .list_file_dataset import ListFileDataset
from .long_tail_lvis import LongTailLVISDataset
from .repeat_factor import RepeatFactorDataset
from .saliency import FineGrained, RandomPoint, SpectralResidual
from .saliency_mask import MaskedMultiView, SaliencyMask
from .samplers import LongTailSampler

__all__ = [
    'CIFAR10LT',
    'CIFAR100LT',
    'CompactMasks',
    'CrossModalDataset',
    'FineGrained',
    'ListFileDataset',
    'LoadCompactAnnotations',
    'LongTailLVISDataset',
    'LongTailSampler',
    'MaskedMultiView',
    'RandomPoint',
    'RepeatFactorDataset',
    'SaliencyMask',
    'SpectralResidual',
]
