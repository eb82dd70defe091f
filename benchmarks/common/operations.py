"""What the host does in a block of code: operations of torch, and results for which it waits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READS = (Tensor.tolist, Tensor.cpu)  # of which a CPU does nothing that a dispatcher sees


class Operations(TorchDispatchMode):
    """Counts the operations inside, and those whose result the host has to read.

    Attributes:
        number: Calls of the dispatcher.
        waits: Values read (``.item()``, ``.tolist()``, ``.cpu()``), and results of a size that
            depends on values. Copies to a device are not among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = self.waits = 0
        self._reads = _Reads(self)

    def __enter__(self):
        self._reads.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._reads.__exit__(*error)

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


class _Reads(TorchFunctionMode):
    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self.operations = operations

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.operations.waits += function in READS
        return function(*args, **(kwargs or {}))
