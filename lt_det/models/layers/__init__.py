from .cosine_linear import CosineLinear
from .normed_predictors import NormedConv2d, NormedLinear

__all__ = ['CosineLinear', 'NormedConv2d', 'NormedLinear']
