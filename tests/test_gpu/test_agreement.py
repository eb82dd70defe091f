"""The cases in which a GPU has to agree with the CPU; without one they run on the CPU alone."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest
import torch
from common.mock_gpu import MockGpu
from mmdet.utils import register_all_modules
from speed.gpu_steps import (  # noqa: F401
    agreement,
    agreement_detection,
    agreement_losses,
    agreement_models,
)
from torch import nn

import lt_det.adjustments
import lt_det.models
from lt_det.data_buffers import DataBuffers

from ..mock_gpu import on_mock_gpu


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)


# in no case, and why
LEFT_OUT = {
    'BALLAD': 'a step of benchmarks/speed/gpu.py',
    'ClipDataPreprocessor': 'images are moved and normalised',
    'InstanceTTAModel': 'of a whole test',
}
# what waits for the device: each part for what the host has to know, and modules that move there
WAITING = ('lt_det/models/roi_heads/', 'lt_det/datasets/', 'lt_det/compat/ops/nms.py')
WAITING += ('lt_det/data_buffers.py',)


@pytest.mark.parametrize('name', agreement.CASES)
def test_a_case_gives_the_same_twice(name):
    """On the CPU: it runs, draws nothing that the seed does not tell, and gives finite numbers."""
    differences = agreement.compare(name, agreement.TOY, torch.device('cpu'))
    assert differences
    assert {apart for apart, _ in differences.values()} == {0.0}


@pytest.mark.parametrize('name', agreement.CASES)
def test_cpu_and_gpu_agree(name, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    differences = agreement.compare(name, agreement.TOY, device)
    for key, (apart, allowed) in differences.items():
        assert apart <= allowed, key


def modules_of(package: ModuleType) -> set[type[nn.Module]]:
    found = set()
    for info in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):
        for kind in vars(importlib.import_module(info.name)).values():
            ours = inspect.isclass(kind) and kind.__module__ == info.name
            if ours and issubclass(kind, nn.Module) and not kind.__name__.startswith('_'):
                found.add(kind)
    return found


def test_every_component_has_a_case(monkeypatch):
    """A loss, layer, head or rule that nobody compares on a GPU is named here."""
    made, with_floats = set(), set()
    start, register = nn.Module.__init__, nn.Module.register_buffer

    def record(module: nn.Module, *args, **kwargs) -> None:
        made.update(type(module).__mro__)
        start(module, *args, **kwargs)

    def record_buffer(module: nn.Module, name: str, value: torch.Tensor, *args, **kwargs) -> None:
        if value.is_floating_point():
            with_floats.add(type(module))
        register(module, name, value, *args, **kwargs)

    monkeypatch.setattr(nn.Module, 'register_buffer', record_buffer)

    monkeypatch.setattr(nn.Module, '__init__', record)
    for name in agreement.CASES:
        torch.manual_seed(0)
        agreement.CASES[name](agreement.TOY, torch.device('cpu'))
    components = modules_of(lt_det.models) | modules_of(lt_det.adjustments)
    assert {kind.__name__ for kind in components - made} == set(LEFT_OUT)
    # and none has statistics that half precision would spoil
    assert not {kind for kind in components & with_floats if not issubclass(kind, DataBuffers)}


@on_mock_gpu
@pytest.mark.parametrize('name', agreement.CASES)
def test_losses_layers_and_statistics_do_not_wait(name):
    torch.manual_seed(0)
    with MockGpu() as gpu:
        agreement.CASES[name](agreement.TOY, gpu.device)
    waiting = {place for place in gpu.waits if place.startswith('lt_det/')}
    assert not {place for place in waiting if not place.startswith(WAITING)}


def test_differences_are_told():
    a = torch.tensor([3.0, 4.0])
    assert agreement.difference('loss', a, a * 1.1)[0] == pytest.approx(0.1 / 1.1)
    assert agreement.difference('labels', a, a + 1) == (1.0, 0.0)
    assert agreement.difference('pixels', a > 3, a > 4) == (0.5, agreement.PIXELS)
    assert agreement.difference('loss', a, a[:1]) == (float('inf'), 0.0)
    nan = torch.tensor([3.0, float('nan')])
    assert agreement.difference('loss', a, nan) == (float('inf'), 0.0)
