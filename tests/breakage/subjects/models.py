"""Checkpoints, configs, images and cached features."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable
from functools import cache
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


def check_last_checkpoint(folder: Path, data: bytes) -> None:
    """What is not the name of a file that is there is not gone on from."""
    from lt_det.engine.checkpoint_hook import latest_checkpoint

    for name in ('epoch_1.pth', 'epoch_2.pth'):
        if not (folder / name).exists():
            (folder / name).write_bytes(files.torch_bytes({'a': 1}))
    (folder / 'last_checkpoint').write_bytes(data)
    found = outcome(latest_checkpoint, folder)
    assert found == REFUSED or Path(found).name in ('epoch_1.pth', 'epoch_2.pth'), found


PARTS = {
    'model': {
        'type': 'LongTailBBoxHead',
        'in_channels': 4,
        'fc_out_channels': 4,
        'roi_feat_size': 2,
        'num_classes': 4,
        'adjustment': {'type': 'IIF', 'link': 'raw'},
        'cls_predictor_cfg': {'type': 'CosineLinear', 'scale': 20.0},
        'loss_cls': {'type': 'CrossEntropyLoss', 'loss_weight': 1.0},
    },
    'train_dataloader': {
        'batch_size': 2,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'dataset': {
            'type': 'LongTailLVISDataset',
            'ann_file': 'a.json',
            'lazy_init': True,
            'pipeline': [{'type': 'Resize', 'scale': [8, 8]}],
        },
    },
    'custom_hooks': [{'type': 'ClassFrequencyHook'}, {'type': 'EMAHook', 'momentum': 0.1}],
}


def config_bytes(content: object) -> bytes:
    if not isinstance(content, dict):
        return repr(content).encode(errors='surrogatepass')
    values = (f'{key} = {dict(v) if isinstance(v, dict) else v!r}\n' for key, v in content.items())
    return ('nan, inf = float("nan"), float("inf")\n' + ''.join(values)).encode(
        errors='surrogatepass'
    )


def check_parts(folder: Path, data: bytes) -> None:
    """Parts of a config are built, or the key of one that cannot be is named."""
    from mmdet.registry import HOOKS, MODELS
    from mmengine.runner import Runner

    from lt_det.cli.common import load_config
    from lt_det.cli.config_errors import config_errors

    register()
    truth = folder / 'a.json'
    truth.write_text(json.dumps(files.annotations()))
    (folder / 'mine.py').write_bytes(data.replace(b"'a.json'", repr(str(truth)).encode()))

    def build() -> None:
        cfg = load_config(Namespace(config=str(folder / 'mine.py'), cfg_options=None))
        with config_errors(cfg):
            for build_part, key in (
                (MODELS.build, 'model'),
                (Runner.build_dataloader, 'train_dataloader'),
            ):
                if isinstance(cfg.get(key), dict):
                    build_part(cfg[key])
            for hook in cfg.get('custom_hooks') or ():
                HOOKS.build(hook)

    outcome(build)


@cache
def register() -> None:
    from mmdet.utils import register_all_modules

    import lt_det.components  # noqa: F401

    register_all_modules(init_default_scope=True)


SUBJECTS = {
    'last checkpoint': Subject(broken_lines('work_dirs/a/epoch_2.pth\n'), check_last_checkpoint),
    'parts of a config': Subject(broken_content(PARTS, config_bytes), check_parts),
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
