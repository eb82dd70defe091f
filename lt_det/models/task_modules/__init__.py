from .quick_random_sampler import QuickRandomSampler
from .vectorized_assigner import VectorizedMaxIoUAssigner

__all__ = ['QuickRandomSampler', 'VectorizedMaxIoUAssigner']
