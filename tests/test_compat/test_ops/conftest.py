"""The stand-ins for mmcv's ops; where those are compiled there is nothing to test."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from lt_det.compat.ops import Ops


@pytest.fixture(autouse=True)
def stand_ins() -> None:
    if not isinstance(import_module('mmcv._ext'), Ops):
        pytest.skip('mmcv has compiled ops here')
    torch.manual_seed(0)
