"""The switches of the backbone: the same results, names and checkpoints."""

from __future__ import annotations

import warnings
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmdet.models.backbones import ResNet, SwinTransformer
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn

from lt_det.engine import BackboneHook
from lt_det.errors import BadInputError

from ..test_models.two_processes import in_two_processes

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


def train_in_a_group(rank: int) -> None:
    """Copying every gradient into another layout, a process would warn."""

    class Mean(nn.ModuleDict):
        def forward(self, images: Tensor) -> Tensor:
            return self.detector.backbone(images).mean()

    wrapped = MMDistributedDataParallel(Mean(model()))
    runner = SimpleNamespace(
        model=wrapped, cfg={}, wrap_model=lambda _, bare: MMDistributedDataParallel(bare)
    )
    hook = BackboneHook(channels_last=True)
    for _ in range(2):
        hook.before_run(runner)
    assert runner.model is not wrapped and runner.model.module is wrapped.module
    del wrapped
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for _ in range(2):
            runner.model(torch.randn(2, 3, 16, 16)).backward()
    weight = runner.model.module.detector.backbone[0].weight
    gradients = [torch.empty_like(weight.grad) for _ in range(2)]
    torch.distributed.all_gather(gradients, weight.grad)
    assert gradients[0].equal(gradients[1]) and weight.grad.stride() == weight.stride()


def test_processes_sum_gradients_in_the_layout_of_the_weights():
    in_two_processes(train_in_a_group)


@pytest.mark.parametrize('options', [{}, dict(channels_last=True), dict(compile=GRAPH)], ids=str)
def test_norms_folded_into_weights(options):
    torch.manual_seed(0)
    arguments = dict(base_channels=8, stem_channels=8, frozen_stages=1, norm_eval=True)
    stock = nn.ModuleDict(dict(backbone=ResNet(50, **arguments)))
    for norm in stock.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.running_mean)
    ours = deepcopy(stock)
    BackboneHook(fold_norms=True, **options).before_run(SimpleNamespace(model=ours))
    images = torch.randn(2, 3, 64, 96)
    gradients = {}
    for name, net in (('stock', stock), ('ours', ours)):
        levels = net.train().backbone(images)
        sum(level.square().mean() for level in levels).backward()
        gradients[name] = {key: p.grad for key, p in net.named_parameters() if p.requires_grad}
    assert gradients['ours'].keys() == gradients['stock'].keys()
    assert len(gradients['stock']) == 3 * 42  # of 42 convolutions, each with its norm
    for name, expected in gradients['stock'].items():
        found = gradients['ours'][name]
        assert (found - expected).norm() <= 1e-3 * expected.norm(), name
    with torch.no_grad():
        for net in (ours.eval(), deepcopy(ours)):
            for found, expected in zip(net.backbone(images), stock.eval().backbone(images)):
                assert (found - expected).norm() <= 1e-4 * expected.norm()
    stock.load_state_dict(ours.state_dict())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({}, 'compile=False, channels_last=False and fold_norms=False, which changes nothing'),
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


class OtherInTraining(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 2 if self.training else x)


@pytest.mark.parametrize(
    ('backbone', 'message'),
    [
        (SwinTransformer(96, embed_dims=8, depths=(1,) * 4), 'follow the backbone SwinTransformer'),
        (
            ResNet(18, base_channels=4, with_cp=True),
            r'ResNet \(TraceError: .*with_cp=False',
        ),
        (
            OtherInTraining(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
            'OtherInTraining .*: it does something else in training than in a test',
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), 'Sequential has no BatchNorm behind a convolution'),
    ],
    ids=['Swin', 'with_cp', 'other in training', 'no norm'],
)
def test_norms_that_cannot_be_folded(backbone, message):
    runner = SimpleNamespace(model=nn.ModuleDict(dict(backbone=backbone)))
    with pytest.raises(BadInputError, match=message):
        BackboneHook(fold_norms=True).before_run(runner)
