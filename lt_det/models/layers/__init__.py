from .cam_calibration import CAMCalibration
from .cam_masking import CAMMasking
from .class_indexed_conv import ClassIndexedConv2d, ClassIndexedNormedConv2d, IndexableByClass
from .cosine_linear import CosineLinear
from .fasa import FASA
from .normed_predictors import NormedConv2d, NormedLinear
from .word_vectors import WordTable

__all__ = [
    'FASA',
    'CAMCalibration',
    'CAMMasking',
    'ClassIndexedConv2d',
    'ClassIndexedNormedConv2d',
    'CosineLinear',
    'IndexableByClass',
    'NormedConv2d',
    'NormedLinear',
    'WordTable',
]
