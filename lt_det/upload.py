"""Arrays of the host on the device, without waiting for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def upload(values: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """An array, or a tensor of the CPU, as a tensor on a device; one that is there as it is.

    A GPU is not waited for: it copies from page-locked memory when its turn has come, while a copy
    from memory of any kind would begin after all that the GPU has to do before.
    """
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if torch.device(device).type == 'cuda' and tensor.device.type == 'cpu':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
