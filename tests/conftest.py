"""Data for tests: own files like the published ones, those where they lie, and tiny glyphs."""

from __future__ import annotations

import copy
import csv
import functools
import gc
import sysconfig
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import DefaultScope
from mmengine.runner import runner

from lt_det.datasets.glyphs import make_crops, make_glyphs
from lt_det.frequency import ClassFrequency

ROOT = Path(__file__).resolve().parents[1]

SHIPPED = (str(ROOT / 'configs'), sysconfig.get_path('purelib'))  # configs that do not change


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported stays to the end: the garbage collector need not look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000)
        gc.enable()


# files that take long, with few tests: at the end one worker would wait for another
LONG = ('test_tools', 'test_gpu', 'test_calibration', 'test_configs', 'test_imports.py')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first; the order within a file stays."""
    tests = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(tests).parts[0] not in LONG)


@pytest.fixture(autouse=True)
def own_default_scope():
    """A Runner sets the scope of the process; the next test starts without one."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='session', autouse=True)
def fast_mmengine():
    """What MMEngine does again and again, and what takes longer than a small test.

    It formats configs that it writes, reads the index of all models of a package for each base
    that is in this package, and each base anew; it asks git and compilers who they are for each
    run, and git for each checkpoint.
    """
    read, known = Config._file2dict, {}

    def read_once(filename: str, *args, **kwargs) -> tuple:
        path = str(Path(filename).resolve())
        if not path.startswith(SHIPPED):
            return read(filename, *args, **kwargs)
        key = (path, args, *sorted(kwargs.items()))
        if key not in known:
            known[key] = read(filename, *args, **kwargs)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, False))
        patch.setattr('mmengine.config.utils.load', functools.cache(load))
        patch.setattr(Config, '_file2dict', staticmethod(read_once))
        for name in ('get_git_hash', 'collect_env'):
            patch.setattr(runner, name, functools.cache(getattr(runner, name)))
        yield


DATA = Path(__file__).parent / 'data'
PUBLISHED = ROOT.parent / 'shared' / 'data'


def own_and_published(own: str, published: str) -> list:
    """A file of ``tests/data`` and, where it lies beside the checkout, what it stands in for."""
    path = PUBLISHED / published
    more = [pytest.param(path, id='published', marks=pytest.mark.slow)] if path.is_file() else []
    return [pytest.param(DATA / own, id='own'), *more]


@pytest.fixture(
    scope='session', params=own_and_published('lvis_like_val.json', 'lvis_v0.5_val_100.json')
)
def lvis_file(request: pytest.FixtureRequest) -> Path:
    """Annotations of 100 images like LVIS v0.5: federated lists, a long tail, masks in parts."""
    return request.param


@pytest.fixture(
    scope='session', params=own_and_published('places_like_train.txt', 'Places_LT_train.txt')
)
def places_list(request: pytest.FixtureRequest) -> Path:
    """A list of images and labels like that of Places-LT."""
    return request.param


@pytest.fixture(
    scope='session', params=own_and_published('lvis_v1_like_counts.csv', 'lvis_v1_class_counts.csv')
)
def lvis_v1(request: pytest.FixtureRequest) -> ClassFrequency:
    """Counts with the classes, groups, images and instances of LVIS v1."""
    with request.param.open() as file:
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
