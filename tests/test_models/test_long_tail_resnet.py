import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules
from torch import nn

from lt_det.models.backbones.long_tail_resnet import PadShortcut


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(('depth', 'millions'), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_cifar_resnet_has_the_published_size(depth, millions):
    """He et al. 2015, table 6, the classifier of 10 classes included."""
    model = MODELS.build(dict(type='CIFARResNet', depth=depth))
    assert round((parameters(model) + 650) / 1e6, 2) == millions
    (out,) = model(torch.randn(2, 3, 32, 32))
    assert out.shape == (2, 64, 8, 8)
    assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) == depth - 1


def test_pad_shortcut_keeps_every_second_pixel():
    x = torch.randn(2, 3, 4, 4)
    out = PadShortcut(5, 2)(x)
    assert out.shape == (2, 8, 2, 2)
    torch.testing.assert_close(out[:, 2:5], x[:, :, ::2, ::2])
    assert out[:, :2].abs().sum() == out[:, 5:].abs().sum() == 0


def test_squeeze_and_excitation_of_every_block():
    plain = MODELS.build(dict(type='CIFARResNet', depth=32))
    model = MODELS.build(dict(type='CIFARSEResNet', depth=32))
    model.init_weights()
    extra = sum(5 * (c * 8 + 8 + 8 * c + c) for c in (16, 32, 64))  # two 1x1 convolutions a block
    assert parameters(model) - parameters(plain) == extra
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    model(x)[0].sum().backward()
    block = model.layer1[0].eval()
    x = torch.randn(2, 16, 8, 8)
    branch = block.norm2(block.conv2(block.norm1(block.conv1(x)).relu()))
    squeeze = block.drop_path[1]
    gate = squeeze.conv2(squeeze.conv1(branch.mean((2, 3), keepdim=True)))
    torch.testing.assert_close(block(x), (x + branch * gate).relu())


def test_resnet_10_has_a_block_a_stage_and_others_are_stock():
    model = MODELS.build(dict(type='LongTailResNet', depth=10))
    assert [len(getattr(model, f'layer{i}')) for i in range(1, 5)] == [1, 1, 1, 1]
    assert model(torch.randn(1, 3, 64, 64))[0].shape == (1, 512, 2, 2)
    ours, stock = (MODELS.build(dict(type=t, depth=18)) for t in ('LongTailResNet', 'ResNet'))
    assert ours.state_dict().keys() == stock.state_dict().keys()


def test_frozen_stages_leave_nothing_to_train():
    model = MODELS.build(dict(type='CIFARResNet', depth=20, frozen_stages=3))
    model.train()
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
