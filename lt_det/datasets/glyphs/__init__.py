"""Glyphs: a long-tailed instance-segmentation data set that is rendered, not downloaded."""

from .plan import GlyphPlan, ImagePlan, plan_dataset
from .recipe import SIZES, GlyphRecipe, get_recipe
from .writer import GlyphFolderError, make_glyphs

__all__ = [
    'SIZES',
    'GlyphFolderError',
    'GlyphPlan',
    'GlyphRecipe',
    'ImagePlan',
    'get_recipe',
    'make_glyphs',
    'plan_dataset',
]
