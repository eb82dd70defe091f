from .cam_calibration import CAMCalibration
from .cosine_linear import CosineLinear
from .normed_predictors import NormedConv2d, NormedLinear

__all__ = [
    'CAMCalibration',
    'CosineLinear',
    'NormedConv2d',
    'NormedLinear',
]
