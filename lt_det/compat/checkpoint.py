"""Checkpoints are read as data: a file cannot run code unless the user says that it may."""

from __future__ import annotations

import os.path as osp
from pickle import UnpicklingError

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from ..errors import BadInputError, MissingFileError
from .saved_types import allow_types_of_mmengine


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
            return torch.load(filename, map_location=map_location, weights_only=not trust)
        except (UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise BadInputError(
                f'checkpoint {filename} cannot be read: {reason}; if you trust its origin and it '
                'holds more than tensors, --trust-checkpoint reads it by running what it contains'
            ) from error

    allow_types_of_mmengine()
    CheckpointLoader.register_scheme('', load_from_local, force=True)
