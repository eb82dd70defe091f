"""Words that describe a glyph crop: those of its Unicode name, and how it is drawn."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from .fonts import glyph_name
from .recipe import GlyphRecipe
from .render import SUPERSAMPLE, TEXTURES, Placed

HUES = ('red', 'yellow', 'green', 'cyan', 'blue', 'magenta')
GREYS = ('dark', 'grey', 'light')
SIZES = ('little', 'midsize', 'big')


@dataclass(frozen=True)
class DescribedRecipe(GlyphRecipe):
    """A recipe of crops that come with words."""


def colour_word(colour: np.ndarray) -> str:
    """A word of ``HUES``, or of ``GREYS`` where saturation is below 0.25; BGR in 0..255, (3,)."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(colour[::-1] / 255.0))
    if saturation < 0.25:
        return GREYS[min(int(value * len(GREYS)), len(GREYS) - 1)]
    return HUES[round(hue * len(HUES)) % len(HUES)]


def size_word(visible: np.ndarray, recipe: GlyphRecipe) -> str:
    """Which third of the recipe's sizes the longest side of a mask (K*S, K*S) is in."""
    rows, columns = (np.flatnonzero(visible.any(axis)) for axis in (1, 0))
    longest = max(np.ptp(rows), np.ptp(columns)) / SUPERSAMPLE
    low, high = recipe.object_size
    third = int((longest - low) / (high - low) * len(SIZES))
    return SIZES[min(max(third, 0), len(SIZES) - 1)]


def describe(char: str, placed: Placed, recipe: GlyphRecipe) -> list[str]:
    """Distinct words of the Unicode name, then colour, texture and size."""
    drawn = [colour_word(placed.colour), placed.texture, size_word(placed.visible, recipe)]
    return list(dict.fromkeys(glyph_name(char).split('_') + drawn))


def vocabulary(glyphs: str | tuple[str, ...]) -> list[str]:
    """Every word that :func:`describe` can give for one of ``glyphs``, sorted."""
    names = {word for char in glyphs for word in glyph_name(char).split('_')}
    return sorted(names | {*HUES, *GREYS, *TEXTURES, *SIZES})
