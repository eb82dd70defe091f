"""``run.json``: what was evaluated, how and on what, beside the ``metrics.json`` of a run."""

from __future__ import annotations

import os.path as osp
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...config_parts import annotation_file, classifies, image_folder, lvis_metric, plain_dataset
from ...errors import BadInputError
from ...formats.json_file import read_json
from ...version import __version__

NAME = 'run.json'
PREDICTIONS = 'predictions.npz'
_PACKAGES = (
    *('torch', 'hotcoco'),
    *('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmpretrain'),
    *('mmengine', 'mmcv', 'mmcv-lite', 'mmdet', 'mmpretrain'),
)


def describe(cfg: Mapping, part: str) -> dict[str, Any]:
    """What a config says of the evaluation of a run.

    Args:
        cfg: Config of MMDetection or MMPretrain.
        part: 'val' or 'test', whose data and metric are meant.

    Returns:
        Plain json: kind ('detector' or 'classifier'), ann_file, images (folder), train_ann_file,
        each a path as the config has it or None; protocol, bounds, max_dets and outfile_prefix,
        as options of the LongTailLVISMetric.
    """
    data = plain_dataset(cfg, f'{part}_dataloader')
    metric = lvis_metric(cfg, f'{part}_evaluator')
    bounds = metric.get('bounds')
    return {
        'kind': 'classifier' if classifies(cfg) else 'detector',
        'ann_file': metric.get('ann_file') or annotation_file(data),
        'images': image_folder(data or {}),
        'train_ann_file': annotation_file(plain_dataset(cfg, 'train_dataloader')),
        'protocol': metric.get('protocol', 'auto'),
        'bounds': bounds and list(bounds),
        'max_dets': metric.get('max_per_img'),
        'outfile_prefix': metric.get('outfile_prefix'),
    }


def circumstances(checkpoint: str | None) -> dict[str, Any]:
    """Command, date, versions and the digest of the weights of the process that runs.

    Args:
        checkpoint: Path of the weights, None where they are not in a file.
    """
    from ...formats.files import sha256

    weights = None
    if checkpoint:
        digest = sha256(checkpoint) if osp.isfile(checkpoint) else None
        weights = {'file': checkpoint, 'sha256': digest}
    return {
        'checkpoint': weights,
        'command': shlex.join([*_program(), *sys.argv[1:]]),
        'date': datetime.now().astimezone().isoformat(timespec='seconds'),
        'versions': installed_versions(),
    }


def _program() -> list[str]:
    """How the process was called, without the folder that it lies in."""
    path = Path(sys.argv[0])
    return ['lt_det'] if path.parts[-2:] == ('lt_det', '__main__.py') else [path.name]


def installed_versions() -> dict[str, str]:
    """Versions of this package and of those that its numbers hang on, where installed."""
    versions = {'lt_det': __version__, 'python': sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


_TEXT, _WHOLE = (str, type(None)), (int, type(None))
_KINDS = {
    **dict.fromkeys(('ann_file', 'images', 'train_ann_file', 'protocol', 'outfile_prefix'), _TEXT),
    **dict.fromkeys(('config', 'date', 'command'), _TEXT),
    'max_dets': _WHOLE,
    'bounds': (list, type(None)),
    'checkpoint': (dict, type(None)),
    'versions': (dict, type(None)),
}


def read_note(path: Path) -> dict:
    """``run.json``, its values of the types that they are written with.

    Raises:
        MissingFileError: It does not exist.
        BadInputError: It is no json, or a value is of another type.
    """
    note = read_object(path)
    for key, kinds in _KINDS.items():
        value = note.get(key)
        if not isinstance(value, kinds) or isinstance(value, bool):
            expected = ' or '.join('null' if k is type(None) else k.__name__ for k in kinds)
            raise BadInputError(f'{path}: {key} is {value!r}, expected {expected}')
        if isinstance(value, str) and '\0' in value:
            raise BadInputError(f'{path}: {key} is {value!r}, which no file can be named')
    kind, bounds = note.get('kind', 'detector'), note.get('bounds')
    if kind not in ('detector', 'classifier'):
        raise BadInputError(f"{path}: kind is {kind!r}, expected 'detector' or 'classifier'")
    if bounds is not None and [type(bound) for bound in bounds] != [int, int]:
        raise BadInputError(f'{path}: bounds is {bounds!r}, expected two numbers of images')
    versions = note.get('versions') or {}
    if not all(isinstance(each, str) for each in versions.values()):
        raise BadInputError(f'{path}: versions is {versions!r}, expected a text for each package')
    weights = note.get('checkpoint') or {}
    for key in ('file', 'sha256'):
        if not isinstance(weights.get(key), _TEXT):
            raise BadInputError(f'{path}: checkpoint.{key} is {weights[key]!r}, expected a text')
    if weights:  # what else is there is not for the page
        note['checkpoint'] = {key: weights.get(key) for key in ('file', 'sha256')}
    return note


def read_object(path: Path) -> dict:
    """A json file that holds an object.

    Raises:
        MissingFileError: It does not exist.
        BadInputError: It holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise BadInputError(f'{path} holds a {type(content).__name__}, expected an object')
    return content
