"""Checkpoints are read as data: a file cannot run code unless the user says that it may."""

from __future__ import annotations

import os.path as osp
from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from ..errors import BadInputError, MissingFileError


def restrict_checkpoint_loading(trust: bool = False) -> None:
    """Make MMEngine read local checkpoints without executing what they contain.

    MMEngine by itself retries a file that fails the safe reader with the unsafe one.

    Args:
        trust: Read with the full unpickler all the same.
    """

    def load_from_local(filename: str, map_location):
        filename = osp.expanduser(filename)
        if not osp.isfile(filename):
            raise MissingFileError(f'checkpoint {filename} does not exist')
        try:
            with torch.serialization.safe_globals(_saved_by_mmengine()):
                return torch.load(filename, map_location=map_location, weights_only=not trust)
        except (UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise BadInputError(
                f'checkpoint {filename} cannot be read: {reason}; if you trust its origin and it '
                'holds more than tensors, --trust-checkpoint reads it by running what it contains'
            ) from error

    CheckpointLoader.register_scheme('', load_from_local, force=True)


def _history_attribute(owner, name: str):
    """``getattr`` for the one use that MMEngine's files make of it: methods of HistoryBuffer."""
    if owner is HistoryBuffer or isinstance(owner, HistoryBuffer):
        return getattr(owner, name)
    raise UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')


def _saved_by_mmengine() -> list:
    """Types in the message hub and log history of MMEngine's own checkpoints."""
    core = np._core if hasattr(np, '_core') else np.core
    return [
        HistoryBuffer,
        (_history_attribute, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        *(type(np.dtype(kind)) for kind in ('float32', 'float64', 'int32', 'int64', 'bool')),
    ]
