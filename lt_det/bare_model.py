"""The model that a runner trains, out of the wrapper of several processes."""

from __future__ import annotations

from typing import cast

from mmengine.model import is_model_wrapper
from torch import nn


def bare_model(model: nn.Module) -> nn.Module:
    """A model without its wrapper, as MMDistributedDataParallel is one."""
    return cast(nn.Module, model.module) if is_model_wrapper(model) else model
