"""What the host does in a block of code: operations of torch, and results for which it waits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Counts the operations inside, and those whose result the host has to read.

    Attributes:
        number: Calls of the dispatcher.
        waits: Values read (``.item()``), and results of a size that depends on values. Copies from
            and to a device are not among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = self.waits = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        name = function.overloadpacket.__name__
        # a mask as index has as many elements as it has ones, but where one value is written
        by_mask = name in ('index', 'index_put_') and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        written = name == 'index_put_' and args[2].numel() == 1
        self.waits += name in ('_local_scalar_dense', 'nonzero') or (by_mask and not written)
        return function(*args, **(kwargs or {}))
