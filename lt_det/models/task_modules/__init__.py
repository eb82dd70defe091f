from .vectorized_assigner import VectorizedMaxIoUAssigner, vectorized

__all__ = ['VectorizedMaxIoUAssigner', 'vectorized']
