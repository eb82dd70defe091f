"""The scope that types of MMDetection are looked up in, and a seed."""

from __future__ import annotations

import pytest
import torch
from mmdet.utils import register_all_modules


@pytest.fixture
def mmdet_scope():
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
