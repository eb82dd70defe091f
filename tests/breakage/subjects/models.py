"""Checkpoints, configs, images and cached features."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from hypothesis import strategies as st

from .. import files
from ..breaking import (
    ARRAYS,
    Broken,
    broken_array,
    broken_bytes,
    broken_content,
    broken_json,
    broken_lines,
)
from ..documented import REFUSED
from .outcome import Subject, agree, outcome


def check_checkpoint(equal: bool) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from mmengine.runner.checkpoint import CheckpointLoader

        from lt_det.compat.checkpoint import restrict_checkpoint_loading
        from lt_det.compat.convert import convert_checkpoint

        restrict_checkpoint_loading()
        path = folder / 'a.pth'
        path.write_bytes(data)
        found = outcome(CheckpointLoader.load_checkpoint, str(path), 'cpu')
        if isinstance(found, str) and found == REFUSED:
            return
        if equal:
            agree(found, files.checkpoint(), 'the checkpoint')
        outcome(convert_checkpoint, found)

    return check


def check_config(folder: Path, data: bytes) -> None:
    from lt_det.cli.common import load_config

    (folder / 'mine.py').write_bytes(data)
    outcome(load_config, Namespace(config=str(folder / 'mine.py'), cfg_options=None))


def check_image(ending: str) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.datasets.image_check import inspect_images

        path = folder / f'a{ending}'
        path.write_bytes(data)
        facts = inspect_images([path])
        if facts.problem[0] is None and ending != '.jpg':
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if decoded is not None:
                agree(decoded.shape[:2], (facts.height[0], facts.width[0]), 'size')

    return check


VALUES = np.ones((1, 3, 2), np.float32)
FEATURES = files.npy_bytes(VALUES)
DIGEST = hashlib.sha256(FEATURES).hexdigest()
MARKED = {'weights': 'w', 'data': 'd', 'views': 1, 'images': 3, 'sha256': DIGEST}


def check_features(folder: Path, data: bytes) -> None:
    from lt_det.datasets import feature_cache

    name, _, content = data.partition(b'\n')
    for file, good in (
        (feature_cache.FEATURES, FEATURES),
        (feature_cache.MARK, json.dumps(MARKED).encode()),
    ):
        (folder / file).write_bytes(content if file == name.decode() else good)
    cache_of = object.__new__(feature_cache.FeatureCacheDataset)
    cache_of.folder, cache_of.views, cache_of.replace, cache_of.seed = folder, 1, False, 0
    cache_of.dataset, cache_of.labels = range(3), np.zeros(3, np.int64)
    cache_of.data_key = lambda: 'd'
    cache_of._compute = lambda *arguments: None

    def read() -> None:
        cache_of.open('w', len)
        for item in cache_of.__getitems__([0, 1, 2]):
            agree(item['inputs'], torch.ones(2), 'a feature')

    outcome(read)


@st.composite
def broken_features(draw: Callable) -> Broken:
    if draw(st.booleans()):
        way, how, data = draw(broken_json(MARKED))
        return Broken(way, how, b'cache.json\n' + data)
    if draw(st.booleans()):
        way, how, data = draw(broken_bytes(FEATURES))
    else:
        how = draw(st.sampled_from([change for change, _ in ARRAYS]))
        way, data = (
            f'array: {how}',
            files.npy_bytes(broken_array(VALUES, how)),
        )
    return Broken(way, f'features: {how}', b'features.npy\n' + data)


SUBJECTS = {
    'checkpoint, bytes': Subject(
        broken_bytes(files.torch_bytes(files.checkpoint())), check_checkpoint(True)
    ),
    'checkpoint': Subject(
        broken_content(files.checkpoint(), files.torch_bytes), check_checkpoint(False)
    ),
    'config': Subject(broken_lines(files.CONFIG), check_config),
    'feature cache': Subject(broken_features(), check_features),
    **{
        f'image {ending}': Subject(broken_bytes(files.image(ending)), check_image(ending))
        for ending in ('.jpg', '.png', '.bmp', '.webp')
    },
}
