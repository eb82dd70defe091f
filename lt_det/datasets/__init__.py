"""Data sets, transforms and samplers; each is imported, and registered, when it is used."""

from ..lazy import lazy_names

_NAMES = {
    'cifar_lt': ('CIFAR10LT', 'CIFAR100LT'),
    'compact_annotations': ('LoadCompactAnnotations',),
    'compact_masks': ('CompactMasks',),
    'cross_modal': ('CrossModalDataset',),
    'list_file_dataset': ('ListFileDataset',),
    'long_tail_lvis': ('LongTailLVISDataset',),
    'rare_copy_paste': ('RareCopyPaste',),
    'repeat_factor': ('RepeatFactorDataset',),
    'saliency': ('FineGrained', 'RandomPoint', 'SpectralResidual'),
    'saliency_mask': ('MaskedMultiView', 'SaliencyMask'),
    'samplers': ('LongTailSampler',),
}
__all__ = [name for names in _NAMES.values() for name in names]
__getattr__ = lazy_names(__name__, _NAMES)
