"""Rendered data that several files look at."""

from dataclasses import replace
from pathlib import Path

import pytest

from lt_det.datasets.glyphs import SIZES, make_glyphs

# for what does not depend on how many there are
FEW = replace(
    SIZES['tiny'],
    train_counts=(9, 6, 5, 4, 3, 2, 2, 1),
    train_images=10,
    val_images=6,
    val_count=2,
)


@pytest.fixture(scope='session')
def tiny(tiny_glyphs: Path) -> Path:
    """The glyph data set of size tiny: do not write into it."""
    return tiny_glyphs


@pytest.fixture(scope='session')
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of the recipe ``FEW``: do not write into it."""
    return make_glyphs(tmp_path_factory.mktemp('glyphs') / 'few', FEW, progress=False)
