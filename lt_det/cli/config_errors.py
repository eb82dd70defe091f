"""Which key of a config is to blame where a part that it describes cannot be built."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import URLError

from ..errors import BadInputError, DataWarning, UserError

if TYPE_CHECKING:
    from mmengine.config import Config

# functions of MMEngine that build what a dict describes, and the variable that holds the dict
BUILDERS = {
    'build_from_cfg': 'cfg',
    'build_dataloader': 'dataloader',
    **{f'build_{part}_loop': 'loop' for part in ('train', 'val', 'test')},
}
# those that check the config as a whole
CHECKS = {'from_cfg', '__init__'}


# keys of a config that are no argument of a Runner
OTHER_KEYS = ('custom_imports', 'tta_model', 'runner_type')


def warn_of_misspelt_keys(cfg: Config) -> None:
    """Say which keys of a config nobody reads that are almost those that a Runner reads.

    MMEngine takes any other key for a variable of the config.
    """
    from mmengine.runner import Runner

    known = {*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS} - {'self'}
    for key in cfg:
        near = [] if key in known else get_close_matches(key, known, 1, cutoff=0.88)
        if near:
            warnings.warn(
                f'config {cfg.filename}: nobody reads {key!r}; did you mean {near[0]!r}?',
                DataWarning,
                stacklevel=2,
            )


class Part(NamedTuple):
    """What was being built: its dict, and the registry that was asked for its type, or None."""

    cfg: dict
    registry: Any


@contextmanager
def config_errors(cfg: Config) -> Iterator[None]:
    """Name the key of a config whose part cannot be built.

    What goes wrong elsewhere, as in the training itself, passes, and so does what no config is to
    blame for: errors of the machine and downloads that fail.

    Raises:
        BadInputError: Names the config, the key, the type and what it has raised.
    """
    try:
        yield
    except (UserError, URLError, MemoryError):
        raise
    except Exception as error:
        frames = list(_frames(error))
        parts = [part for frame in frames if (part := _part(frame))]
        if not parts and not any(map(_is_check, frames)):
            raise
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        said = _message(cfg, parts, error)
        raise BadInputError(f'config {cfg.filename}: {said}; --verbose shows where') from error


def _frames(error: Exception) -> Iterator[FrameType]:
    """From the outermost to that which has raised the error."""
    place = error.__traceback__
    while place:
        yield place.tb_frame
        place = place.tb_next


def _is_of(frame: FrameType, folder: str) -> bool:
    parts = Path(frame.f_code.co_filename).parts
    return 'mmengine' in parts and folder in parts


def _part(frame: FrameType) -> Part | None:
    name = frame.f_code.co_name
    if name not in BUILDERS or not (_is_of(frame, 'registry') or _is_of(frame, 'runner')):
        return None
    cfg = frame.f_locals.get(BUILDERS[name])
    return Part(cfg, frame.f_locals.get('registry')) if isinstance(cfg, dict) else None


def _is_check(frame: FrameType) -> bool:
    return frame.f_code.co_name in CHECKS and _is_of(frame, 'runner')


def _message(cfg: Config, parts: list[Part], error: Exception) -> str:
    text = f'{type(error).__name__}: {error}'
    if not parts:
        return f'cannot be used: {text}'
    path, innermost = _path(cfg._cfg_dict, parts)
    kind = innermost.cfg.get('type')
    kind = getattr(kind, '__name__', 'it' if kind is None else str(kind))
    option = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if option and option[1] in innermost.cfg:
        value = f'{innermost.cfg[option[1]]!r:.100}'
        return f'{path}.{option[1]} is {value}, but {kind} has no such option'
    if isinstance(error, KeyError) and f'{kind} is not in the' in str(error):
        near = get_close_matches(kind, _names(innermost.registry), 1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        return f'{path}.type is {kind!r}, which is not registered{hint}'
    part = path if kind == 'it' else f'{path} ({kind})'
    return f'{part} cannot be built: {text}'


def _names(registry: Any) -> list[str]:
    """Names in a registry and in those above it."""
    names = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _path(cfg: dict, parts: list[Part]) -> tuple[str, Part]:
    """The key of the innermost part that is in the config, and the part.

    A part is looked for in the one around it first: two pipelines may have the same transform.
    """
    around, path, innermost = cfg, '', parts[-1]
    for part in parts:
        found = _find(around, path, part.cfg) or _find(cfg, '', part.cfg)
        if found:
            path, around, innermost = *found, part
    return path or f'the config of {innermost.cfg.get("type")}', innermost


def _find(tree: Any, path: str, wanted: dict) -> tuple[str, Any] | None:
    """Path and dict with the type of ``wanted`` that has most of its other entries."""
    best, found = 0, None
    for place, candidate in _dicts(tree, path):
        if candidate is wanted:
            return place, candidate
        if place and candidate.get('type') == wanted.get('type'):
            score = sum(key in wanted and wanted[key] == candidate[key] for key in candidate)
            if score > best:
                best, found = score, (place, candidate)
    return found


def _dicts(tree: Any, path: str) -> Iterator[tuple[str, dict]]:
    if isinstance(tree, dict):
        yield path, tree
        for key, value in tree.items():
            yield from _dicts(value, f'{path}.{key}' if path else str(key))
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from _dicts(value, f'{path}.{index}')
