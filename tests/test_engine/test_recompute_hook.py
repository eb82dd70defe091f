"""Parts that are computed anew: the same results and gradients, and less that is kept."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.necks import FPN
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lt_det.engine import RecomputeHook
from lt_det.errors import BadInputError


class Head(nn.Module):
    """Called with a tuple of levels, and draws random numbers, as with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Dropout(), nn.Conv2d(8, 4, 1))

    def forward(self, levels: tuple[Tensor, ...], factor: float = 1.0) -> list[Tensor]:
        return [factor * self.layers(level) for level in levels]


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.neck = FPN([4, 4], 8, 3)
        self.roi_head = nn.ModuleDict(dict(mask_head=Head()))

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.norm(self.backbone(images))
        levels = self.neck((features, features[..., ::2, ::2]))
        return self.roi_head['mask_head'](levels, factor=2.0)


def changed(model: Detector, *modules: str) -> tuple[RecomputeHook, SimpleNamespace]:
    hook, runner = RecomputeHook(modules), SimpleNamespace(model=model)
    for _ in range(2):  # a second run of the runner changes nothing
        hook.before_run(runner)
    return hook, runner


def results(model: Detector, images: Tensor) -> tuple[list[Tensor], int]:
    """Outputs and gradients of a training step, and the number of values kept for the second."""
    kept = []
    with saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        torch.manual_seed(1)
        outputs = model.train()(images)
    loss = sum(output.square().mean() for output in outputs)
    return [*outputs, *torch.autograd.grad(loss, list(model.parameters()))], sum(kept)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_results_gradients_and_names_stay(dtype):
    torch.manual_seed(0)
    stock = Detector().to(dtype)
    ours = deepcopy(stock)
    hook, runner = changed(ours, 'neck', 'roi_head.mask_head')
    images = torch.randn(2, 3, 32, 32, dtype=dtype)
    (expected, kept), (found, kept_by_ours) = results(stock, images), results(ours, images)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert kept_by_ours < 0.7 * kept
    hook.after_train_iter(runner, 0)
    assert list(ours.state_dict()) == list(stock.state_dict())
    assert isinstance(ours.neck, FPN) and type(ours.neck).__name__ == 'FPN'
    with torch.no_grad():
        for one, other in zip(ours.eval()(images), stock.eval()(images), strict=True):
            assert torch.equal(one, other)


def test_an_rpn_is_computed_level_by_level():
    torch.manual_seed(0)
    stock = RPNHead(num_classes=1, in_channels=4, feat_channels=8).train()
    ours = deepcopy(stock)
    hook, runner = changed(nn.ModuleDict(dict(rpn_head=ours)), 'rpn_head')
    levels = [torch.randn(2, 4, side, side, requires_grad=True) for side in (16, 8)]
    gradients = []
    for head in (stock, ours):
        scores, boxes = head(levels)
        loss = sum(value.square().mean() for value in (*scores, *boxes))
        gradients.append(torch.autograd.grad(loss, [*levels, *head.parameters()]))
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)
    computed = []
    ours.rpn_conv.register_forward_hook(lambda module, inputs, output: computed.append(len(output)))
    scores, boxes = ours(levels)
    assert len(computed) == 2
    scores[1].sum().backward()
    assert len(computed) == 3  # the level of this loss alone
    hook.after_train_iter(runner, 0)


def test_a_copy_computes_with_its_own_weights():
    """As EMAHook makes it."""
    torch.manual_seed(0)
    model = Detector()
    changed(model, 'neck')
    average = ExponentialMovingAverage(model)
    images = torch.randn(1, 3, 16, 16)
    before = average.module.eval()(images)
    nn.init.zeros_(model.neck.fpn_convs[0].conv.weight)
    for one, other in zip(average.module(images), before, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ('modules', 'message'),
    [
        ('neck', r"modules is 'neck', expected a list such as \['neck'\]"),
        ([], r'modules is \[\], expected a list'),
        (['nek'], "has 'nek', which Detector has not; it has backbone, norm, neck, roi_head"),
        (['neck.start_level'], "has 'neck.start_level', which Detector has not"),
        (['norm'], "has 'norm', with a BatchNorm2d that would see each batch twice"),
    ],
)
def test_what_is_refused(modules, message):
    with pytest.raises(BadInputError, match=message):
        RecomputeHook(modules).before_run(SimpleNamespace(model=Detector()))


def test_parts_that_training_does_not_call_are_named():
    model = Detector()
    hook, runner = changed(model, 'neck', 'roi_head')
    model.train()(torch.randn(1, 3, 16, 16))
    with pytest.raises(BadInputError, match="has 'roi_head', which training does not call"):
        hook.after_train_iter(runner, 0)
