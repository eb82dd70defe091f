"""The cases in which a GPU has to agree with the CPU; without one they run on the CPU alone."""

from __future__ import annotations

import pytest
import torch
from mmdet.utils import register_all_modules
from speed.gpu_steps import agreement, agreement_detection, agreement_losses  # noqa: F401

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.mark.parametrize('name', agreement.CASES)
def test_a_case_gives_the_same_twice(name):
    """On the CPU: it runs, draws nothing that the seed does not tell, and gives finite numbers."""
    differences = agreement.compare(name, agreement.TOY, torch.device('cpu'))
    assert differences
    assert {apart for apart, _ in differences.values()} == {0.0}


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize('name', agreement.CASES)
def test_cpu_and_gpu_agree(name, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    differences = agreement.compare(name, agreement.TOY, torch.device('cuda'))
    for key, (apart, allowed) in differences.items():
        assert apart <= allowed, key


def test_differences_are_told():
    a = torch.tensor([3.0, 4.0])
    assert agreement.difference('loss', a, a * 1.1)[0] == pytest.approx(0.1 / 1.1)
    assert agreement.difference('labels', a, a + 1) == (1.0, 0.0)
    assert agreement.difference('pixels', a > 3, a > 4) == (0.5, agreement.PIXELS)
    assert agreement.difference('loss', a, a[:1]) == (float('inf'), 0.0)
    nan = torch.tensor([3.0, float('nan')])
    assert agreement.difference('loss', a, nan) == (float('inf'), 0.0)
