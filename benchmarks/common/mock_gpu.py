"""A GPU that is not there: its tensors say that they are on it, and have their values on the CPU.

Torch has to know it, by a ``MockGpu()``, before the first backward pass of a process, and processes
that are forked after one have no backward pass of their own.

What it shows without a GPU: an operation on tensors of two devices is refused, as is NumPy's view
of a tensor on it, and all that a host does for a GPU is counted by the line of code. What it does
not show: kernels, their rounding and their time, mixed precision (autocast changes nothing on it).
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import torch
from common.origin import ROOT
from mmengine.structures import instance_data
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

NAME = 'mock_gpu'
KNOWN = hasattr(backend_registration, '_setup_privateuseone_for_python_backend')
BY_INDEX = ('index', 'index_put', 'index_put_', '_index_put_impl_')
COPIES = ('_to_copy', 'copy_', '_copy_from')
# whose results' sizes follow from values, or are values: CUDA reads them from the device
READ = ('_local_scalar_dense', 'nonzero', 'masked_select', 'equal', 'bincount', 'nms')
READ += ('_unique2', 'unique_dim', 'unique_consecutive')
# what torch makes tensors by that are on the device; of some it makes others with out=
MAKERS = ('empty_strided', 'empty.memory_format', '_copy_from', 'linspace', 'eye', 'eye.m')
MAKERS += ('arange', 'arange.start', 'arange.start_step', 'randperm', 'randperm.generator')
MAKERS += ('_local_scalar_dense',)  # and reads the numbers by that it makes a tensor of

_active: list[MockGpu] = []


class MockGpu:
    """Counts, as a context, what the host does for tensors on ``device``.

    Attributes:
        device: Takes tensors and modules by ``.to``, outside too.
        operations: Number of operations that change or make values.
        waits: How often the host waited, by file and line outside torch: values that it read, and
            copies from pageable memory or to it, as CUDA's ``set_sync_debug_mode`` has them.
    """

    def __init__(self) -> None:
        if not KNOWN:
            raise NotImplementedError(
                f'torch {torch.__version__} knows no devices written in Python; expected a version '
                'of requirements/constraints.txt'
            )
        self.device = _register()
        self.operations = 0
        self.waits: Counter[str] = Counter()

    def waits_in(self, *folders: str) -> int:
        """Waits in files below some folders, as of the places in ``waits``."""
        return sum(number for name, number in self.waits.items() if name.startswith(folders))

    def __enter__(self) -> MockGpu:
        _active.append(self)
        return self

    def __exit__(self, *error) -> None:
        _active.remove(self)


class MockTensor(Tensor):
    """A tensor on the device; ``values`` are on the CPU."""

    values: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> MockTensor:
        tensor = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=_register(),
        )
        tensor.values = values
        return tensor

    def __repr__(self, **_) -> str:
        return f'{self.values!r} on {NAME}'

    def tolist(self) -> list:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})


def place(*but: str) -> str:
    """File and line of the innermost call outside torch; of a wait in a backward pass, a name.

    Args:
        *but: Files that are not meant either.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name not in (__file__, *but) and not name.startswith(_TORCH):
            return f'{short(name)}:{frame.f_lineno}'
        frame = frame.f_back
    return 'backward pass'


def short(name: str) -> str:
    """A file in the project or in a package from there on."""
    *_, inside = name.rpartition('/site-packages/')
    path = Path(inside)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else inside


_TORCH = f'{Path(torch.__file__).parent}/'


def _run(operation: torch._ops.OpOverload, args: tuple, kwargs: dict) -> Any:
    name = operation.overloadpacket.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, MockTensor)]
    _refuse_other_devices(operation, name, args, tensors)
    for count in _active:
        count.operations += not (operation.is_view or name.startswith('empty'))
        if (number := _waits(name, args, kwargs)) > 0:
            count.waits[place()] += number
    there = bool(ours)
    if (device := kwargs.get('device')) is not None:
        there = torch.device(device).type == NAME
        kwargs = {**kwargs, 'device': torch.device('cpu')}
    if name == '_copy_from':
        source, goal, *_ = args
        _values(goal).copy_(_values(source))
        return goal
    found = operation(*tree_map(_values, args), **tree_map(_values, kwargs))
    known = {id(tensor.values): tensor for tensor in ours}

    def on_device(leaf: Any) -> Any:
        if not (there and isinstance(leaf, Tensor)):
            return leaf
        tensor = known.get(id(leaf))
        if tensor is not None and tensor.shape != leaf.shape:
            raise NotImplementedError(f'{operation} changes the shape of a tensor in place')
        return MockTensor(leaf) if tensor is None else tensor

    return tree_map(on_device, found)


def _values(leaf: Any) -> Any:
    return leaf.values if isinstance(leaf, MockTensor) else leaf


def _refuse_other_devices(operation, name: str, args: tuple, tensors: list[Tensor]) -> None:
    """CUDA takes tensors of the CPU that are to be copied, are indices, or are single numbers."""
    if name in COPIES:
        return
    if name in BY_INDEX and isinstance(args[0], MockTensor):
        indices = {id(index) for index in args[1]}
        tensors = [tensor for tensor in tensors if id(tensor) not in indices]
    on = {tensor.device for tensor in tensors if tensor.dim() or isinstance(tensor, MockTensor)}
    if len(on) > 1:
        found = ', '.join(f'{tuple(tensor.shape)} on {tensor.device}' for tensor in tensors)
        raise RuntimeError(f'{operation} of tensors on two devices: {found}')


def _waits(name: str, args: tuple, kwargs: dict) -> int:
    if name in COPIES:
        if name == '_to_copy':
            goal, source, at_once = kwargs.get('device'), args[0], kwargs.get('non_blocking')
        else:
            pair = args[:2] if name == 'copy_' else args[1::-1]
            goal, source = pair[0].device, pair[1]
            at_once = args[2] if len(args) > 2 else kwargs.get('non_blocking')
        other = goal is not None and torch.device(goal).type != source.device.type
        return int(other and not at_once)
    if name in BY_INDEX:
        indices = [index for index in args[1] if index is not None]
        uploads = sum(not isinstance(index, MockTensor) for index in indices)
        masks = sum(isinstance(i, MockTensor) and i.dtype == torch.bool for i in indices)
        one_value = name != 'index' and args[2].dim() == 0  # written through the mask itself
        return uploads + (0 if one_value else masks)
    if name == 'repeat_interleave':
        return 0 if kwargs.get('output_size') is not None else 2
    return int(name in READ)


# ------------------------------------------------------------------------------------ registration


class _Module:
    """What torch asks of a device's module; it is available while its operations are counted."""

    def is_available(self) -> bool:
        return bool(_active)

    def is_initialized(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        """Its numbers are drawn by the CPU's generator."""

    def _is_in_bad_fork(self) -> bool:
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


@cache
def _register() -> torch.device:
    """Make the device known to torch and to MMEngine, once in a process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    for name in MAKERS:
        packet, _, overload = name.partition('.')
        operation = getattr(getattr(torch.ops.aten, packet), overload or 'default')
        _LIBRARY.impl(name, _kernel(operation), 'PrivateUse1')
    instance_data.IndexType |= MockTensor  # it knows the types of tensors on its devices
    return torch.device(NAME, 0)


_LIBRARY = torch.library.Library('aten', 'IMPL')


def _kernel(operation: torch._ops.OpOverload):
    return lambda *args, **kwargs: _run(operation, args, kwargs)
