"""Glyphs: long-tailed data for segmentation and classification, rendered, not downloaded."""

from .crops import CROP_SIZES, make_crops
from .plan import GlyphPlan, ImagePlan, plan_dataset
from .recipe import SIZES, GlyphRecipe, get_recipe
from .writer import GlyphFolderError, make_glyphs

__all__ = [
    'CROP_SIZES',
    'SIZES',
    'GlyphFolderError',
    'GlyphPlan',
    'GlyphRecipe',
    'ImagePlan',
    'get_recipe',
    'make_crops',
    'make_glyphs',
    'plan_dataset',
]
