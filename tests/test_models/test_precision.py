"""What is kept out of half precision."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lt_det.models.precision import full_precision, unit, widen


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_unit_vectors_and_their_gradients(dtype):
    torch.manual_seed(0)
    x = torch.randn(5, 7).to(dtype).requires_grad_()
    found, direction = unit(x), torch.randn(5, 7)
    wide = x.detach().double().requires_grad_()
    expected = wide / wide.square().sum(1, keepdim=True).sqrt()
    eps = torch.finfo(widen(x).dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=8 * eps, atol=8 * eps)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(
        x.grad.double(), wide.grad, rtol=8 * torch.finfo(dtype).eps, atol=0.01
    )
    assert torch.equal(unit(widen(x.T), 0), F.normalize(widen(x.T), dim=0))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_vectors_without_a_direction_are_zero_and_learn_nothing(dtype):
    x = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    found = unit(x)
    (1e4 * found).sum().backward()
    assert not found.any()
    assert not x.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_products_out_of_autocast(dtype):
    x = torch.randn(3, 3)
    with torch.autocast('cpu', dtype):
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == dtype
    with full_precision(x.to('meta')):
        assert (x @ x).dtype == torch.float32
