from .long_tail_lvis import LongTailLVISDataset

__all__ = ['LongTailLVISDataset']
