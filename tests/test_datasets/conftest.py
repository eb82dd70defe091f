"""Rendered data that several files look at."""

import pytest

from lt_det.datasets.glyphs import make_glyphs


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    return make_glyphs(tmp_path_factory.mktemp('glyphs') / 'tiny', 'tiny', progress=False)
