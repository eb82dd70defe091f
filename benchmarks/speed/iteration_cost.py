"""Time of a training iteration, of models relative to each other."""

from __future__ import annotations

import random
import statistics
import time
from copy import deepcopy

import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

# isort: split
import numpy as np
import torch
from common.origin import ROOT
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS
from torch import nn

from lt_det.frequency import ClassFrequency
from lt_det.frequency_module import frequency_modules

CONFIGS = ROOT / 'configs' / 'lvis'
LVIS_CONFIGS = ('mask_rcnn_r50_softmax', 'mask_rcnn_r50_iif', 'mask_rcnn_r50_iif_camc')


def cost_at_lvis_size(rounds: int) -> dict[str, float]:
    """Relative cost of configs of LVIS on an image of noise with ten objects."""
    register_all_modules(init_default_scope=True)
    counts = np.geomspace(2000, 1, 1203).astype(int)
    frequency, dimension = ClassFrequency(counts, num_images=100_000), np.full(1203, 1.5)
    models = {}
    for name in LVIS_CONFIGS:
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        cfg.model.backbone.init_cfg = None  # nothing is downloaded
        models[name] = built(cfg.model, frequency, dimension)
    size = [[3, 800, 1333]]
    batch = demo_mm_inputs(1, size, num_items=[10], num_classes=1203, with_mask=True)
    return relative_cost(models, batch, rounds)


def built(model: dict, frequency: ClassFrequency, dimension: np.ndarray) -> nn.Module:
    """A model that has the statistics of its training set."""
    torch.manual_seed(0)
    model = MODELS.build(model)
    model.init_weights()
    for module in frequency_modules(model):
        module.set_class_frequency(frequency)
    for module in model.modules():
        if hasattr(module, 'set_box_dimension'):
            module.set_box_dimension(dimension)
    return model


def relative_cost(models: dict[str, nn.Module], batch: dict, rounds: int) -> dict[str, float]:
    """Median time of a training iteration of each model, relative to the first one's."""
    device = get_device()
    first = next(iter(models))
    models = {**models, f'{first} again': deepcopy(models[first])}  # what is noise
    # nothing is learned: other proposals would be other work
    steps = [
        (model.to(device).train(), torch.optim.AdamW(model.parameters(), lr=0.0), [])
        for model in models.values()
    ]
    for index in range(rounds + 2):
        # in another order each time: what a model leaves in memory is felt by the next
        for model, optimizer, seconds in random.Random(index).sample(steps, len(steps)):
            torch.manual_seed(index)
            start = now(device)
            data = model.data_preprocessor(batch, True)
            total, _ = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            if index >= 2:  # the first ones are slower
                seconds.append(now(device) - start)
    times = [statistics.median(seconds) for _, _, seconds in steps]
    return {name: time / times[0] for name, time in zip(models, times)}


def now(device: str) -> float:
    if device != 'cpu':
        torch.cuda.synchronize()
    return time.perf_counter()
