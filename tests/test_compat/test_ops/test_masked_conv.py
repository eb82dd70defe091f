"""The masked convolution is the convolution at the places of the mask, and 0 elsewhere."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import MaskedConv2d
from torch.nn.functional import conv2d


@pytest.mark.filterwarnings('ignore:This overload of addmm')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('kernel, padding', [(1, 0), (3, 1), ((3, 5), (1, 2))])
def test_equals_the_convolution(dtype, kernel, padding):
    conv = MaskedConv2d(3, 4, kernel, padding=padding).to(dtype).requires_grad_(False)
    features, mask = torch.randn(1, 3, 6, 7, dtype=dtype), torch.rand(1, 6, 7) > 0.6
    expected = conv2d(features, conv.weight, conv.bias, padding=padding) * mask
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(conv(features, mask), expected, rtol=tolerance, atol=tolerance)


def test_no_places():
    conv = MaskedConv2d(3, 4, 3, padding=1)
    output = conv(torch.randn(1, 3, 6, 7), torch.zeros(1, 6, 7))
    assert output.shape == (1, 4, 6, 7)
    assert not output.any()
