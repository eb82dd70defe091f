"""The GPU that is not there: what it refuses, and what it counts."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from common.mock_gpu import MockGpu
from torch import nn

from ..mock_gpu import MARKS

pytestmark = MARKS


@pytest.fixture
def values() -> torch.Tensor:
    return torch.arange(6.0).to(MockGpu().device)


WAITS = {
    'item': (1, lambda x: x.sum().item()),
    'tolist': (1, lambda x: x.sqrt().tolist()),
    'cpu': (1, lambda x: x.sqrt().cpu()),
    'asynchronous copy': (0, lambda x: x.to('cpu', non_blocking=True)),
    'nonzero': (1, lambda x: x.nonzero()),
    'mask': (1, lambda x: x[x > 2]),
    'masked_select': (1, lambda x: x.masked_select(x > 2)),
    'masked_fill': (0, lambda x: x.masked_fill(x > 2, 0)),
    'one value by a mask': (0, lambda x: x.clone().__setitem__(x > 2, 0)),
    'values by a mask': (1, lambda x: x.clone().__setitem__(x > 2, x[:3])),
    'indices there': (0, lambda x: x[x.long()]),
    'indices of the CPU': (1, lambda x: x[torch.tensor([1, 2])]),
    'unique': (1, lambda x: x.unique()),
    'repeat_interleave': (2, lambda x: x.repeat_interleave(x.long())),
    'with its size': (0, lambda x: x.repeat_interleave(x.long(), output_size=15)),
    'upload': (1, lambda x: torch.ones(2).to(x.device)),
    'asynchronous upload': (0, lambda x: torch.ones(2).to(x.device, non_blocking=True)),
    'upload of a list': (1, lambda x: x.new_tensor([1, 2])),
    'made there': (0, lambda x: torch.arange(5, device=x.device) + torch.zeros_like(x[:5])),
    'a number of the CPU': (0, lambda x: x + torch.tensor(1.0)),
    'another type': (0, lambda x: x.half()),
}


@pytest.mark.parametrize('name', WAITS)
def test_what_waits(name, values):
    """As warned of by torch.cuda.set_sync_debug_mode."""
    number, code = WAITS[name]
    with MockGpu() as gpu:
        code(values)
    assert sum(gpu.waits.values()) == number
    assert all(place.startswith('tests/test_tools/test_mock_gpu.py:') for place in gpu.waits)


def test_what_is_an_operation(values):
    with MockGpu() as gpu:
        _ = values.view(2, 3)[1].expand(4, 3)
        torch.empty(3, device=values.device)
        torch.ones(3).exp()
    assert gpu.operations == 0
    with MockGpu() as gpu:
        values.add_(1).exp().sum()
    assert gpu.operations == 3
    values.exp()
    assert gpu.operations == 3


def test_other_devices_are_refused(values):
    for code in (
        lambda: values + torch.ones(6),
        lambda: torch.cat([values, torch.ones(6)]),
        lambda: torch.ones(6)[values.long()],
        lambda: nn.Linear(6, 2)(values),
        lambda: torch.where(torch.ones(6).bool(), values, values),
    ):
        with pytest.raises(RuntimeError, match=r'on two devices: .* on mock_gpu:0'):
            code()
    for code in (values.numpy, lambda: np.asarray(values)):
        with pytest.raises(RuntimeError, match='not supported'):
            code()
    with pytest.raises(NotImplementedError, match='in place'):
        values.unsqueeze_(0)


def test_training_there_is_training_here():
    """Gradients, buffers, momentum, a copy of the module, and a custom function."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, gradient):
            return gradient.new_full((), 2) * gradient

    results = []
    for device in ('cpu', MockGpu().device):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).to(device)
        model = copy.deepcopy(model)
        images = torch.randn(2, 3, 8, 8).to(device)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
        for _ in range(3):
            optimizer.zero_grad()
            Twice.apply(model(images)).square().mean().backward()
            optimizer.step()
        state = model.state_dict()
        assert {value.device.type for value in state.values()} == {torch.device(device).type}
        results.append({name: value.cpu() for name, value in state.items()})
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_it_is_there_only_while_it_counts():
    """Or loaders of other tests would copy their batches to its memory."""
    device = MockGpu().device
    module = torch.get_device_module(device.type)
    assert not module.is_available()
    with MockGpu():
        assert module.is_available()
    assert not module.is_available()
