"""Where GPU tests run: a GPU, and one that is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from common.mock_gpu import MockGpu

from ..mock_gpu import MARKS

DEVICES = [
    pytest.param(
        'cuda',
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
        ],
    ),
    pytest.param('mock_gpu', marks=MARKS),
]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    if request.param == 'cuda':
        yield torch.device('cuda')
        return
    with MockGpu() as gpu:
        yield gpu.device
