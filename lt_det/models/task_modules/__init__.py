from .vectorized_assigner import VectorizedMaxIoUAssigner

__all__ = ['VectorizedMaxIoUAssigner']
