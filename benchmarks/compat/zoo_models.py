"""Models of MMDetection's zoo: built without downloads, stepped and asked on tiny images.

    python benchmarks/compat/zoo_models.py build CONFIG ...
    python benchmarks/compat/zoo_models.py run CONFIG ...

Prints a line of json per config. benchmarks/compat/zoo.py starts it with a few configs at a time.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lt_det  # noqa: F401  (stands in for the ops)

# isort: split
import mmdet
import numpy as np
import torch
import torch.distributed as dist
from mmdet.models.detectors import FastRCNN, SemiBaseDetector
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs, demo_mm_proposals, demo_track_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
SECONDS = {'build': 120, 'run': 240}
SIDE = 128  # of the images; what needs more gets it
DETECTIONS = 30
SIDES = {'SSDVGG': 300, 'SSDNeck': 320, 'DINO': 256, 'DDQDETR': 256, 'GroundingDINO': 256}
DOWNLOADS = ('pretrained', 'teacher_ckpt', 'load_from')


def model_config(path: str) -> ConfigDict:
    """``model`` of a config of the zoo, without weights to fetch and with batches as they are."""
    config = Config.fromfile(CONFIGS / path)
    if config.get('model', {}).get('type') in (None, 'ImageClassifier', 'BaseReID'):
        raise LookupError('no detector in this config')
    model = copy.deepcopy(config.model)
    model.setdefault('_scope_', config.get('default_scope', 'mmdet'))
    _remove_downloads(model)
    return model


def _remove_downloads(node: object) -> None:
    if isinstance(node, dict):
        for key in DOWNLOADS:
            if isinstance(node.get(key), str):
                node[key] = None
        if node.get('pretrained') is True:  # of timm
            node['pretrained'] = False
        init = node.get('init_cfg')
        if isinstance(init, dict) and 'checkpoint' in init:
            node['init_cfg'] = None
        if node.get('batch_augments'):  # pads to 1024 x 1024, or resizes by chance
            node['batch_augments'] = None
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list | tuple):
            _remove_downloads(child)


def _shrink(node: object) -> None:
    """Fewer proposals, samples and detections an image; no SyncBN of torch, which needs a GPU."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        if isinstance(node.get('max_per_img'), int):
            node['max_per_img'] = min(node['max_per_img'], DETECTIONS)
        if 'pos_fraction' in node and isinstance(node.get('num'), int):
            node['num'] = min(node['num'], DETECTIONS)
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list | tuple):
            _shrink(child)


@contextmanager
def no_initialisation() -> Iterator[None]:
    """Leave weights as they are allocated: what is only built need not be filled."""
    names = [name for name in dir(nn.init) if name.endswith('_') and name[0] != '_']
    kept = {name: getattr(nn.init, name) for name in names}
    for name in names:
        setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(nn.init, name, function)


@contextmanager
def processes(model: ConfigDict) -> Iterator[None]:
    """A group of this process alone for mmcv's SyncBN, which asks for one; none for torch's."""
    if 'MMSyncBN' not in str(model):
        yield
        return
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def build(path: str, known: dict[str, dict]) -> dict:
    """Whether a config builds; a model that another config of this process has, counts as it."""
    model = model_config(path)
    key = json.dumps(model, sort_keys=True, default=str)
    if key not in known:
        with no_initialisation(), processes(model):
            built = MODELS.build(model)
        known[key] = {'parameters': sum(weight.numel() for weight in built.parameters())}
    return known[key]


def run(path: str) -> dict:
    """Train a step and predict once; what fails says why."""
    config = model_config(path)
    if 'num_proposals' not in str(config):  # Sparse R-CNN keeps as many as it has queries
        _shrink(config)
    torch.manual_seed(0)
    result = {'type': config.type}
    with processes(config):
        model = MODELS.build(config)
        model.init_weights()
        for name, action in (('trains', train), ('predicts', predict)):
            try:
                result[name] = action(model)
            except Exception as error:
                result[name] = reason(error)
    return result


def train(model: nn.Module) -> bool:
    """One step of SGD: losses and gradients are finite, and weights move."""
    wrapper = build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-4))
    )
    model.train()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    data = model.data_preprocessor(inputs(model, training=True), True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    if not loss.isfinite():
        raise FloatingPointError(f'loss is {float(loss)}')
    wrapper.update_params(loss)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    if not all(gradient.isfinite().all() for gradient in gradients):
        raise FloatingPointError('a gradient is not finite')
    if all(weight.equal(before[name]) for name, weight in model.named_parameters()):
        raise ArithmeticError('no weight has moved')
    return True


@torch.no_grad()
def predict(model: nn.Module) -> bool:
    model.eval()
    data = model.data_preprocessor(inputs(model, training=False), False)
    return len(model(**data, mode='predict')) == len(data['data_samples'])


def inputs(model: nn.Module, training: bool) -> dict:
    """Random images with boxes, masks and semantics: two to train, one to test; or two frames."""
    types = {type(module).__name__ for module in model.modules()}
    side = next((SIDES[name] for name in SIDES if name in types), SIDE)
    shape, classes = (3, side, side), number_of_classes(model)
    if 'TrackDataPreprocessor' in types:
        frames = dict(key_frames_inds=[0]) if training else {}
        return demo_track_inputs(1, 2, image_shapes=shape, num_classes=1, with_mask=True, **frames)
    stride = 8 if 'FusedSemanticHead' in types else 1
    images = 2 if training else 1
    data = demo_mm_inputs(
        images,
        [shape] * images,
        [4, 3][:images],
        num_classes=min(max(2, classes), 256),  # its semantics are bytes
        sem_seg_output_strides=stride,
        with_mask=True,
        with_semantic=True,
    )
    for sample, proposals in zip(data['data_samples'], demo_mm_proposals([shape] * images, 20)):
        sample.gt_instances.labels %= classes
        if {'RTMDetHead', 'RTMDetSepBNHead'} & types:
            del sample.gt_instances.masks  # it would assign by them, in another form
        if isinstance(model, FastRCNN):  # the others would take them for their own
            sample.proposals = proposals
        sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32)))
    if training and isinstance(model, SemiBaseDetector):
        branches = ('sup', 'unsup_teacher', 'unsup_student')
        data = {
            key: {branch: copy.deepcopy(part) for branch in branches} for key, part in data.items()
        }
    return data


def number_of_classes(model: nn.Module) -> int:
    """Classes with boxes."""
    for path in (
        'roi_head.bbox_head.num_classes',
        'roi_head.bbox_head.0.num_classes',
        'panoptic_head.num_things_classes',
        'bbox_head.num_classes',
        'mask_head.num_classes',
    ):
        value = model
        for name in path.split('.'):
            value = getattr(value, name, None)
        if isinstance(value, int):
            return value
    return 1


def reason(error: BaseException) -> str:
    """An error in a line, without the paths of this machine."""
    line = str(error).strip().partition('\n')[0]
    for folder in (CONFIGS.parents[2], Path.cwd(), Path.home()):
        line = line.replace(f'{folder}/', '')
    return f'{type(error).__name__}: {line}'[:200]


def _limit(seconds: int) -> None:
    """Raise after so many seconds of processor time; 0 is never."""

    def stop(*args) -> None:
        raise TimeoutError(f'more than {seconds} s of processor time')

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
    action, *paths = sys.argv[1:]
    os.chdir(CONFIGS.parent)  # some configs name another, from here
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    for name in ('iter', 'epoch'):  # which a Runner would tell
        MessageHub.get_current_instance().update_info(name, 0)
    MMLogger.get_instance('zoo', log_level='ERROR')  # every weight's initialisation else
    register_all_modules(init_default_scope=True)
    known: dict[str, dict] = {}
    actions: dict[str, Callable] = {'build': lambda path: build(path, known), 'run': run}
    for path in paths:
        print(json.dumps({'config': path, 'started': True}), flush=True)
        start = time.process_time()
        _limit(SECONDS[action])
        try:
            row = actions[action](path)
        except Exception as error:
            row = {'error': reason(error)}
        _limit(0)
        row = {'config': path, 'cpu_s': round(time.process_time() - start, 2), **row}
        print(json.dumps(row), flush=True)


if __name__ == '__main__':
    main()
