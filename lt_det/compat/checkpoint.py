"""Checkpoints are read as data: a file cannot run code unless the user says that it may."""

from __future__ import annotations

import os
import os.path as osp
import zipfile
from pickle import UnpicklingError

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from ..errors import BadInputError
from ..formats.files import check_is_file, looks_like_checkpoint
from .saved_types import allow_types_of_mmengine, with_defaults


def restrict_checkpoint_loading(trust: bool = False) -> None:
    """Make MMEngine read local checkpoints without executing what they contain.

    MMEngine by itself retries a file that fails the safe reader with the unsafe one.

    Args:
        trust: Read with the full unpickler all the same.
    """

    def load_from_local(filename: str, map_location):
        filename = osp.expanduser(filename)
        check_is_file(filename, 'checkpoint')
        try:
            check_whole(filename)
            content = with_defaults(
                torch.load(filename, map_location=map_location, weights_only=not trust)
            )
        except Exception as error:  # bytes that are no checkpoint raise what they happen to
            if not looks_like_checkpoint(filename):
                raise BadInputError(
                    f'checkpoint {filename} cannot be read: it does not begin as one; expected a '
                    'file that torch.save wrote'
                ) from error
            raise BadInputError(
                f'checkpoint {filename} cannot be read: {_reason(error)}; {_remedy(error)}'
            ) from error
        state = content.get('state_dict', content) if isinstance(content, dict) else content
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise BadInputError(
                f'checkpoint {filename} holds no weights by name, but a {type(state).__name__}; '
                'expected a state dict, or a dict with one as state_dict'
            )
        return content

    allow_types_of_mmengine()
    CheckpointLoader.register_scheme('', load_from_local, force=True)


def check_whole(path: str | os.PathLike) -> None:
    """Compare the parts of a file of ``torch.save`` with the checksums that it has of them.

    torch does not, and reads a weight of which a bit has changed as another number. Files in the
    format before torch 1.6, or written without checksums, pass.

    Raises:
        zipfile.BadZipFile: A part is not what was written.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.CRC:
                with archive.open(member) as file:
                    while file.read(2**20):
                        pass


def _reason(error: Exception) -> str:
    """The first sentence of what went wrong; torch wraps that of its unpickler in advice."""
    if isinstance(error, UnpicklingError) and error.__context__ is not None:
        error = error.__context__
    sentence = str(error).partition('\n')[0].split('. ')[0]
    return sentence if ' ' in sentence else repr(error)


def _remedy(error: Exception) -> str:
    if isinstance(error, UnpicklingError):
        return (
            'if you trust its origin and it holds more than tensors, --trust-checkpoint reads it '
            'by running what it contains'
        )
    return 'expected a file that torch.save wrote, whole'
