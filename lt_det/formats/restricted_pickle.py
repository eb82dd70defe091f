"""Pickles read as data: a pickle can name any function to be called, and only harmless ones are.

Tensors, arrays, numbers and plain containers are accepted.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Collection
from typing import Any

import torch

from ..errors import BadInputError, MissingFileError

INSTANCES = {
    ('mmengine.structures.instance_data', 'InstanceData'),
    ('mmengine.structures.base_data_element', 'BaseDataElement'),
}
_ALLOWED = {
    ('_codecs', 'encode'),
    ('collections', 'OrderedDict'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    ('torch', 'Size'),
    ('torch._utils', '_rebuild_tensor_v2'),
    *(
        (f'numpy.{core}.{module}', name)
        for core in ('core', '_core')
        for module, name in (
            ('multiarray', '_reconstruct'),
            ('multiarray', 'scalar'),
            ('numeric', '_frombuffer'),
        )
    ),
}


def read_pickle(
    path: str | os.PathLike, more: Collection[tuple[str, str]] = (), what: str = 'a pickle'
) -> Any:
    """What a pickle holds.

    Args:
        path: The file.
        more: Modules and names of further types that may be in it, as ``INSTANCES``.
        what: The kind of file, for messages.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: It is no pickle, or names something else, which is not called.
    """
    try:
        with open(path, 'rb') as file:
            return _Unpickler(file, path, _ALLOWED.union(more)).load()
    except BadInputError:
        raise
    except FileNotFoundError:
        raise MissingFileError(f'{path} does not exist') from None
    except (Exception, MemoryError) as error:  # bytes that are none raise what they happen to
        raise BadInputError(f'{path}: not {what} that can be read: {in_line(error)}') from None


def in_line(error: BaseException) -> str:
    """An error of another package, in one line and not longer than 200 characters."""
    text = ' '.join(str(error).split())
    return f'{text[:200] or type(error).__name__}'


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, file: io.BufferedReader, path: str | os.PathLike, allowed: Collection
    ) -> None:
        super().__init__(file)
        self._path, self._allowed = path, allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _load_storage
        if (module, name) in self._allowed:
            return super().find_class(module, name)
        raise BadInputError(
            f'{self._path}: holds {module}.{name}, which is no part of such a file; not loaded'
        )


def _load_storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)
