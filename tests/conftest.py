"""Data for tests: published statistics where they lie beside the project, and tiny glyphs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

from lt_det.datasets.glyphs import make_crops, make_glyphs
from lt_det.frequency import ClassFrequency

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_default_scope():
    """A Runner sets the scope of the process; the next test starts without one."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='session', autouse=True)
def plain_configs():
    """MMEngine formats every config that it writes, which takes longer than a small test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, False))
        yield


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Published class counts and annotations, kept beside the checkout and not part of it."""
    path = ROOT.parent / 'shared' / 'data'
    if not path.is_dir():
        pytest.skip(f'needs the published annotations in {path}, which are not distributed')
    return path


@pytest.fixture(scope='session')
def lvis_v1(shared_data: Path) -> ClassFrequency:
    with (shared_data / 'lvis_v1_class_counts.csv').open() as file:
        rows = list(csv.DictReader(file))
    counts = ([int(row[key]) for row in rows] for key in ('image_count', 'instance_count'))
    return ClassFrequency(*counts, num_images=100_170)


@pytest.fixture(scope='session')
def tiny_glyphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The glyph data set of size tiny: do not write into it."""
    return make_glyphs(tmp_path_factory.mktemp('glyphs') / 'tiny', size='tiny', progress=False)


@pytest.fixture(scope='session')
def tiny_crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Glyph crops of size crops_tiny, 8 classes: do not write into it."""
    return make_crops(tmp_path_factory.mktemp('crops') / 'tiny', 'crops_tiny', progress=False)
