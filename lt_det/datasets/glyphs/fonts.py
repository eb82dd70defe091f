"""Glyph outlines from the DejaVu fonts that matplotlib installs."""

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import TextPath

from lt_det.errors import BadInputError

# DejaVu Sans first: it must hold every glyph, the others add variety where they have it.
FONTS = ('DejaVuSans', 'DejaVuSans-Bold', 'DejaVuSansMono-Bold', 'DejaVuSerif-Bold')


def font_path(font: str) -> Path:
    """Path of a font file that matplotlib installs."""
    return Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / f'{font}.ttf'


@cache
def code_points(font: str) -> frozenset[int]:
    """Unicode code points a font really has a glyph for (its .notdef box is not among them)."""
    return frozenset(FT2Font(str(font_path(font))).get_charmap())


@cache
def fonts_with(char: str) -> tuple[str, ...]:
    """The fonts of ``FONTS`` that have a glyph for ``char``.

    Raises:
        BadInputError: If DejaVu Sans does not have it.
    """
    if ord(char) not in code_points(FONTS[0]):
        raise BadInputError(f'{FONTS[0]} has no glyph for {char!r} (U+{ord(char):04X})')
    return tuple(font for font in FONTS if ord(char) in code_points(font))


@cache
def outline(char: str, font: str) -> tuple[np.ndarray, ...]:
    """Contours of a glyph, centred at the origin, longest side 1, y pointing down.

    Returns:
        Float arrays of shape (P, 2), one a closed contour, holes included.

    Raises:
        BadInputError: If the glyph has no ink.
    """
    # At 256 points the polygons that replace the curves are finer than any rendered pixel.
    if char.isspace():
        raise BadInputError(f'{font} has no ink for {char!r} (U+{ord(char):04X})')
    path = TextPath((0, 0), char, size=256, prop=FontProperties(fname=str(font_path(font))))
    contours = [c for c in path.to_polygons(closed_only=True) if len(c) >= 3]
    if not contours:
        raise BadInputError(f'{font} has no ink for {char!r} (U+{ord(char):04X})')
    points = np.concatenate(contours)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = np.array([1.0, -1.0]) / (high - low).max()
    return tuple((c - (low + high) / 2) * scale for c in contours)


def glyph_name(char: str) -> str:
    """Lower-case Unicode name with underscores: 'greek_small_letter_alpha'."""
    return unicodedata.name(char).lower().replace(' ', '_').replace('-', '_')
