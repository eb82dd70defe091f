"""Options of data loaders that depend on each other, made to fit before anything is built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import BadInputError
from ..values import check_values

if TYPE_CHECKING:
    from mmengine.config import Config

SHARED_MEMORY = '/dev/shm'
LEAST_SHARED = 2**24  # bytes: some images of a detector
# what loading without workers has no use for, and torch refuses then
OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')
VALUES = {
    'num_workers': 'a whole number >= 0',
    'batch_size': 'a whole number >= 1',
    'prefetch_factor': 'a whole number >= 1, or None',
    'timeout': 'seconds, a number >= 0',
    'persistent_workers': 'True or False',
    'pin_memory': 'True or False',
    'drop_last': 'True or False',
}


def fit_loader_options(cfg: Config | dict) -> None:
    """Make the options of all data loaders in a config fit each other, in place.

    With ``num_workers=0`` the options of workers are left out. With a ``batch_sampler``,
    ``drop_last`` goes to it, which torch asks for.

    Args:
        cfg: With ``train_dataloader`` and the like, at the top or in the configs inside it (the
            phases of a training).

    Raises:
        BadInputError: An option has a value that no loader takes, or two contradict each other;
            names the key, the value and what is expected.
    """
    for key, loader in _loaders(cfg):
        given = {name: (loader[name], kind) for name, kind in VALUES.items() if name in loader}
        check_values(key, **given)
        if loader.get('num_workers', 0) == 0:
            for name in OF_WORKERS:
                loader.pop(name, None)
        if loader.get('shuffle'):
            raise BadInputError(
                f'{key}.shuffle is {loader["shuffle"]}, but the order is that of the sampler; '
                f'expected {key}.sampler.shuffle=True'
            )
        if isinstance(loader.get('batch_sampler'), dict):
            _move_drop_last(key, loader)


def check_shared_memory(cfg: Config | dict, folder: str = SHARED_MEMORY) -> None:
    """Refuse data workers where there is no room for what they hand over: torch would wait forever.

    Args:
        cfg: As that of :func:`fit_loader_options`.
        folder: Where the system has its shared memory; where there is none nothing is checked.

    Raises:
        BadInputError: Names the keys of the loaders, the bytes that are free and the remedies.
    """
    keys = [f'{key}.num_workers' for key, loader in _loaders(cfg) if loader.get('num_workers', 0)]
    if not keys or not os.path.isdir(folder):
        return
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < LEAST_SHARED:
        raise BadInputError(
            f'{folder} has {free:,} bytes free, and data workers hand images over there; expected '
            f'at least {LEAST_SHARED:,} (docker run --shm-size=8g), or no workers: --cfg-options '
            + ' '.join(f'{key}=0' for key in keys)
        )


def _loaders(cfg: Any, prefix: str = '') -> Iterator[tuple[str, dict]]:
    """Every dict under a key that ends in ``dataloader``, and that key."""
    entries = cfg.items() if hasattr(cfg, 'items') else enumerate(cfg)
    for key, value in list(entries):
        name = f'{prefix}{key}'
        if isinstance(value, dict) and str(key).endswith('dataloader'):
            yield name, value
        elif isinstance(value, (dict, list, tuple)) and key != 'model':
            yield from _loaders(value, f'{name}.')


def _move_drop_last(key: str, loader: dict) -> None:
    sampler = loader['batch_sampler']
    given = loader.pop('drop_last', None)
    own = sampler.get('drop_last', given)
    if given is not None and own != given:
        raise BadInputError(
            f'{key}.drop_last is {given}, but {key}.batch_sampler.drop_last is {own}; expected one '
            'of them alone'
        )
    if given:
        sampler['drop_last'] = given
