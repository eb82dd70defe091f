"""The switches of the backbone: the same results, names and checkpoints."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lt_det.engine import BackboneHook
from lt_det.errors import BadInputError

GRAPH = dict(backend='eager', fullgraph=True)


def model() -> nn.ModuleDict:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, groups=2)
    backbone = nn.Sequential(*layers)
    return nn.ModuleDict(dict(detector=nn.ModuleDict(dict(backbone=backbone))))


def results(net: nn.ModuleDict, images: Tensor) -> list[Tensor]:
    """Features and gradients in training, features in a test."""
    backbone = net.detector.backbone
    backbone.train()
    features = backbone(images)
    gradients = torch.autograd.grad(features.square().mean(), list(backbone.parameters()))
    backbone.eval()
    with torch.no_grad():
        return [features, *gradients, backbone(images)]


@pytest.mark.parametrize(
    ('compile', 'channels_last'), [(False, True), (GRAPH, False), (GRAPH, True)], ids=str
)
def test_results_and_names_stay(compile, channels_last):
    stock, ours = model(), model()
    hook = BackboneHook(compile, channels_last)
    for _ in range(2):  # a test after a training does not change it again
        hook.before_run(SimpleNamespace(model=ours))
    backbone = ours.detector.backbone
    assert (backbone._compiled_call_impl is not None) == bool(compile)
    assert len(backbone._forward_pre_hooks) == channels_last
    weight = backbone[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    images = torch.randn(2, 3, 64, 96)
    for found, expected in zip(results(ours, images), results(stock, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert list(ours.state_dict()) == list(stock.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [n for n, _ in stock.named_parameters()]
    deepcopy(ours)  # as EMAHook does
    model().load_state_dict(ours.state_dict())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({}, 'compile=False and channels_last=False, which changes nothing'),
        (dict(compile='max-autotune'), "compile is 'max-autotune', expected True, False or a dict"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(BadInputError, match=message):
        BackboneHook(**arguments)


def test_a_model_without_a_backbone_is_refused():
    runner = SimpleNamespace(model=nn.Linear(2, 2))
    with pytest.raises(BadInputError, match='Linear has no backbone'):
        BackboneHook(channels_last=True).before_run(runner)
