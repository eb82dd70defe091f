"""Synchronised batch normalisation of one process is batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmcv.ops import SyncBatchNorm
from torch import nn

from lt_det.compat.ops import sync_bn


@pytest.fixture
def one_process() -> Iterator[None]:
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('mode', ['default', 'N'])
def test_equals_batch_normalisation(one_process, mode):
    ours, theirs = SyncBatchNorm(4, momentum=0.3, stats_mode=mode), nn.BatchNorm2d(4, momentum=0.3)
    theirs.load_state_dict(ours.state_dict())
    features = torch.randn(3, 4, 5, 6) * 3 + 1
    results = []
    for layer in (ours, theirs):
        leaf = features.clone().requires_grad_()
        for _ in range(2):
            output = layer(leaf)
        weight = torch.linspace(-1, 1, output.numel()).view(output.shape)
        gradients = torch.autograd.grad(output, (leaf, *layer.parameters()), weight)
        results.append([output, *gradients, layer.running_mean, layer.running_var])
    for given, expected in zip(*results, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-4)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(features), theirs(features), rtol=1e-4, atol=1e-4)
    ours.train()
    half = ours(features.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), results[0][0], rtol=1e-2, atol=1e-2)


def test_gradient_in_float64():
    """Of the ops in the order in which mmcv calls them; its layer takes no float64."""

    class Normalise(torch.autograd.Function):
        @staticmethod
        def forward(ctx, input, weight, bias):
            mean, var, std = (input.new_zeros(input.shape[1]) for _ in range(3))
            norm, output = torch.zeros_like(input), torch.zeros_like(input)
            sync_bn.sync_bn_forward_mean(input, mean)
            sync_bn.sync_bn_forward_var(input, mean, var)
            sync_bn.sync_bn_forward_output(
                input, mean, var, weight, bias, None, None, norm, std, output, 1e-5, 0.1, 1
            )
            ctx.save_for_backward(norm, std, weight)
            return output

        @staticmethod
        def backward(ctx, gradient):
            norm, std, weight = ctx.saved_tensors
            by = SimpleNamespace(input=torch.zeros_like(norm), weight=std.clone(), bias=std.clone())
            sync_bn.sync_bn_backward_param(gradient, norm, by.weight, by.bias)
            sync_bn.sync_bn_backward_data(gradient, weight, by.weight, by.bias, norm, std, by.input)
            return by.input, by.weight, by.bias

    tensors = [torch.randn(3, 2, 5), torch.rand(2), torch.randn(2)]
    tensors = [tensor.double().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(Normalise.apply, tensors)


def test_no_images(one_process):
    layer = SyncBatchNorm(4, stats_mode='N')
    assert layer(torch.zeros(0, 4, 5, 6)).shape == (0, 4, 5, 6)
    assert not layer.running_mean.any()
