"""Arrays of the host on the device, without waiting for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def upload(array: np.ndarray, device: torch.device | str) -> Tensor:
    """An array as a tensor on a device.

    A GPU is not waited for: it copies from page-locked memory when its turn has come, while a copy
    from an array itself would begin after all that the GPU has to do before.
    """
    tensor = torch.from_numpy(array)
    if torch.device(device).type == 'cuda':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
