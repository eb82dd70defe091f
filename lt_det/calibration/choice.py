"""``choice.json``: the post-hoc rule that was chosen, as one affine map per class of each head."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInputError
from ..formats.files import whole_file
from ..formats.json_file import read_json

if TYPE_CHECKING:
    from mmengine.config import Config

FORMAT = 1
KINDS = ('detector', 'classifier')
ACTIVATIONS = ('softmax', 'sigmoid')
OPTIONAL = ('iou_type', 'masks', 'per_class')  # for people, not for folding


@dataclass
class HeadMap:
    """What is done to the logits of one head: ``scale * logits + shift``.

    The map is the whole of it: what the model itself does to its logits at test, then the chosen
    setting. It acts on what ``layers`` compute.

    Args:
        name: Path of the head in the model, as ``'roi_head.bbox_head.0'``.
        activation: ``'softmax'`` or ``'sigmoid'``.
        num_extra: Channels behind the C classes.
        layers: Paths of the layers in the model whose output becomes scores.
        scale: (C + num_extra,), None where the map is not affine.
        shift: (C + num_extra,), likewise.
        not_affine: Why there is no such map, where there is none.
    """

    name: str
    activation: str
    num_extra: int
    layers: list[str]
    scale: list[float] | None = None
    shift: list[float] | None = None
    not_affine: str | None = None


@dataclass
class Choice:
    """The chosen setting, how it was chosen, and from which files.

    Args:
        kind: ``'detector'`` or ``'classifier'``.
        fold: Whether the setting is better than none by what the held-out images can tell.
        reason: Of that decision, in words.
        setting: ``name`` and ``rules``, configs of adjustments.
        classes: Names of the C classes.
        heads: The map of each head.
        image_count: (C,) training images that hold a class.
        instance_count: (C,) objects of a class in training.
        num_images: Training images.
        metric: What the setting was chosen for.
        keep: Metrics that may not fall by more than their value.
        selection: The whole of the selection; what is not a number becomes null.
        config: Path of the config, merged, beside this file.
        checkpoint: Path of the checkpoint, as given.
        sha256: Digests of ``config``, ``checkpoint``, ``held_out`` and ``train``, None where
            there was no such file.
        iou_type: ``'bbox'`` or ``'segm'``, what AP is of; None of a classifier.
        masks: Of a choice by boxes, AP of masks ``before`` and ``after``, where the detector makes
            masks; None where that was not measured.
        per_class: What the held-out images hold of each class (C): ``group``, the metric of its
            training frequency, ``images`` and, of a detector, ``annotations``. ``before`` and
            ``after`` of the selection are in the same order.
    """

    kind: str
    fold: bool
    reason: str
    setting: dict[str, Any]
    classes: list[str]
    heads: list[HeadMap]
    image_count: list[int]
    instance_count: list[int]
    num_images: int
    metric: str
    config: str
    checkpoint: str
    sha256: dict[str, str | None]
    keep: dict[str, float] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    iou_type: str | None = None
    masks: dict[str, dict] | None = None
    per_class: dict[str, list] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.classes)

    def write(self, path: str | os.PathLike) -> None:
        """Write the file; one that was there is replaced in one step.

        Raises:
            BadInputError: A value that :func:`read_choice` would refuse.
            UserError: The file cannot be written.
        """
        record = {'format': FORMAT, **asdict(self), 'num_classes': self.num_classes}
        record = _plain(record)
        _check(path, record)
        with whole_file(path) as part:
            part.write_text(json.dumps(record, indent=1, allow_nan=False) + '\n', encoding='utf-8')


class KeptConfig:
    """The config of a calibration as one file beside the choice, all overrides in it, for folding.

    Args:
        config: Merged; what is made of it later does not count.
    """

    def __init__(self, config: Config) -> None:
        self._text = config.pretty_text.encode()

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self._text).hexdigest()

    def write(self, folder: str | os.PathLike) -> str:
        """Write ``config.py`` and give its path."""
        path = Path(folder, 'config.py')
        with whole_file(path) as part:
            part.write_bytes(self._text)
        return str(path)


def read_choice(path: str | os.PathLike) -> Choice:
    """Read what :meth:`Choice.write` wrote.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: It is of another format, or a value in it cannot be.
    """
    missing = 'choice {path} does not exist; expected the choice.json that lt_det calibrate wrote'
    record = read_json(path, missing)
    _check(path, record)
    heads = [HeadMap(**_known(HeadMap, head)) for head in record['heads']]
    return Choice(**{**_known(Choice, record), 'heads': heads})


def _known(kind: type, record: dict) -> dict:
    """Without keys that later versions may add."""
    return {key: record[key] for key in kind.__dataclass_fields__ if key in record}


def _plain(value: Any) -> Any:
    """Arrays and tensors as lists, NaN and infinity as None."""
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _check(path: str | os.PathLike, record: Any) -> None:
    if not isinstance(record, dict) or record.get('format') != FORMAT:
        number = record.get('format') if isinstance(record, dict) else type(record).__name__
        raise BadInputError(
            f'{path}: format is {number}, expected {FORMAT}, as lt_det calibrate writes it'
        )
    keys = [*Choice.__dataclass_fields__, 'num_classes']
    _expect_keys(path, record, [key for key in keys if key not in OPTIONAL])
    strings = dict.fromkeys(('reason', 'metric', 'config', 'checkpoint'), str)
    kinds = dict(setting=dict, classes=list, heads=list, keep=dict, selection=dict, sha256=dict)
    for key, kind in {**strings, **kinds, 'fold': bool, 'num_images': int}.items():
        _expect(path, key, record[key], isinstance(record[key], kind), f'a {kind.__name__}')
    _expect(path, 'kind', record['kind'], record['kind'] in KINDS, 'one of ' + ', '.join(KINDS))
    number = record['num_classes']
    _expect(path, 'num_classes', number, number == len(record['classes']) > 0, 'that of classes')
    for key in ('image_count', 'instance_count'):
        _expect_numbers(path, key, record[key], number)
    counts = record.get('per_class', {})
    lists = isinstance(counts, dict) and all(isinstance(each, list) for each in counts.values())
    _expect(path, 'per_class', counts, lists, 'a dict of lists')
    for key, values in counts.items():
        _expect(path, f'length of per_class.{key}', len(values), len(values) == number, str(number))
    _expect_keys(path, record['setting'], ['name', 'rules'], 'setting.')
    _expect_keys(path, record['sha256'], ['config', 'checkpoint'], 'sha256.')
    _expect(path, 'heads', [], record['heads'], 'one head or more')
    for place, head in enumerate(record['heads']):
        _check_head(path, f'heads[{place}].', head, number)


def _check_head(path: str | os.PathLike, key: str, head: Any, num_classes: int) -> None:
    _expect(path, key[:-1], head, isinstance(head, dict), 'a dict')
    _expect_keys(path, head, list(HeadMap.__dataclass_fields__), key)
    activation, extra, layers = head['activation'], head['num_extra'], head['layers']
    _expect(
        path, key + 'activation', activation, activation in ACTIVATIONS, ' or '.join(ACTIVATIONS)
    )
    _expect(path, key + 'num_extra', extra, isinstance(extra, int) and extra >= 0, '0 or more')
    named = isinstance(layers, list) and layers and all(isinstance(each, str) for each in layers)
    _expect(path, key + 'layers', layers, named, 'a list of paths')
    if head['not_affine'] is None:
        for which in ('scale', 'shift'):
            _expect_numbers(path, key + which, head[which], num_classes + extra)
    else:
        both = (head['scale'], head['shift'])
        _expect(path, key + 'scale', both, both == (None, None), 'null, as not_affine is given')


def _expect_keys(path: str | os.PathLike, record: dict, keys: list[str], where: str = '') -> None:
    for key in keys:
        if key not in record:
            raise BadInputError(
                f'{path}: there is no {where}{key}; expected what lt_det calibrate wrote'
            )


def _expect_numbers(path: str | os.PathLike, key: str, values: Any, length: int) -> None:
    _expect(path, key, values, isinstance(values, list), f'a list of {length} numbers')
    _expect(path, f'length of {key}', len(values), len(values) == length, str(length))
    for place, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        number = number and math.isfinite(value)
        _expect(path, f'{key}[{place}]', value, number, 'a finite number')


def _expect(path: str | os.PathLike, key: str, value: Any, good: Any, expected: str) -> None:
    if not good:
        text = repr(value)
        text = text if len(text) < 60 else text[:60] + '...'
        raise BadInputError(f'{path}: {key} is {text}, expected {expected}')
