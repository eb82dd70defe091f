"""Settings: rules at the logits with their strengths, among which one is chosen."""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from ..adjustments import LogitAdjustment, build_adjustment
from ..errors import BadInputError, MissingFileError
from ..frequency import ClassFrequency
from ..protocols import TakesBoxDimension, TakesClassifier

# The argument that says how strong a rule is, and how far such a rule is from none. Without its
# dimensions FRACAL still has the counts.
_STRENGTHS: dict[str, tuple[str, Callable[[float], float]]] = {
    'FRACAL': ('lam', lambda lam: 1 + lam),
    'NorCal': ('gamma', abs),
    'PriorShift': ('tau', abs),
    'TauNorm': ('tau', abs),
    'Temperature': ('temperature', lambda temperature: abs(math.log(temperature))),
}


@dataclass(frozen=True)
class Setting:
    """One rule with its strength, or several one after the other, applied at test.

    Args:
        name: As ``'NorCal(gamma=0.5) + Temperature(temperature=1.5)'``.
        rules: Configs of ``lt_det.adjustments``, all with ``stage='test'``; none is the identity.
        family: Settings of one family differ in strength alone; as ``'NorCal + Temperature'``.
        strength: Orders those of a family from weak to strong; 0 is the identity. Of several rules
            it is the sum; of a temperature ``|ln T|``.
        needs_background: Whether a rule needs the background channel of a softmax.
        needs_boxes: Whether a rule needs the box dimensions of the training set.
        needs_classifier: Whether a rule needs the weights of a linear classifier.
    """

    name: str
    rules: tuple[dict[str, Any], ...]
    family: str
    strength: float
    needs_background: bool = False
    needs_boxes: bool = False
    needs_classifier: bool = False

    @classmethod
    def of(cls, *rules: dict[str, Any], activation: str = 'softmax') -> Setting:
        """Make the setting of these rules, applied from first to last.

        Args:
            rules: Configs; ``stage`` is ``'test'`` where it is not given.
            activation: ``'softmax'`` or ``'sigmoid'``.

        Raises:
            BadInputError: An unknown rule, a wrong argument, or a rule that is not defined at test
                or for this activation.
        """
        if not rules:
            return cls('identity', (), 'identity', 0.0)
        parts = [_Rule(rule, activation) for rule in rules]
        return cls(
            name=' + '.join(part.name for part in parts),
            rules=tuple(part.cfg for part in parts),
            family=' + '.join(part.family for part in parts),
            strength=math.fsum(part.strength for part in parts),
            needs_background=activation == 'softmax'
            and any(getattr(part.built, 'needs_background', False) for part in parts),
            needs_boxes=any(
                isinstance(p.built, TakesBoxDimension) for p in parts if not p.has_dimension
            ),
            needs_classifier=any(isinstance(p.built, TakesClassifier) for p in parts),
        )

    def as_dict(self) -> dict[str, Any]:
        """For a json."""
        return {**asdict(self), 'rules': [dict(rule) for rule in self.rules]}


class _Rule:
    """One rule of a setting: its config, checked and completed, and what it is called."""

    def __init__(self, rule: Any, activation: str) -> None:
        stage = rule.get('stage', 'test') if isinstance(rule, dict) else 'test'
        if stage != 'test':
            raise BadInputError(
                f"adjustment.stage is {stage!r}, expected 'test': the model is not trained again"
            )
        self.cfg = {**rule, 'stage': 'test'} if isinstance(rule, dict) else rule
        self.built = _built(self.cfg, activation)
        if isinstance(self.cfg['type'], type):  # as in configs that import what they name
            self.cfg['type'] = type(self.built).__name__
        kind = self.cfg['type'].rpartition('.')[2]
        key, measure = _STRENGTHS.get(kind, (None, None))
        defaults = inspect.signature(type(self.built)).parameters
        arguments = {
            name: self.cfg.get(name, parameter.default)
            for name, parameter in defaults.items()
            if name not in ('stage', 'dimension') and parameter.kind != parameter.VAR_KEYWORD
        }
        self.has_dimension = self.cfg.get('dimension') is not None
        self.strength = 1.0 if measure is None else _strength(key, arguments[key], measure)
        options = {
            name: value
            for name, value in arguments.items()
            if name != key and (name == 'link' or value != defaults[name].default)
        }
        self.family = _call(kind, options)
        self.name = _call(kind, options if key is None else {key: arguments[key], **options})


def _strength(key: str, value: Any, measure: Callable[[float], float]) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise BadInputError(f'adjustment.{key} is {value!r}, expected a finite number >= 0')
    return float(measure(value))


def _built(cfg: Any, activation: str) -> LogitAdjustment:
    """The rule, for a few classes: it refuses what it cannot do."""
    try:
        dimension = cfg.get('dimension') if isinstance(cfg, dict) else None
        size = 2 if dimension is None else len(dimension)
        frequency = ClassFrequency([1] * size, num_images=100)
        built = build_adjustment([cfg], frequency, activation=activation)
    except BadInputError:
        raise
    except (TypeError, ValueError) as error:
        raise BadInputError(f'adjustment={cfg}: {error}') from error
    if any(True for _ in built.parameters()):
        raise BadInputError(
            f"adjustment.type is '{type(built).__name__}', which is learned, expected a rule that "
            'is given by its arguments'
        )
    return built


def _call(name: str, arguments: dict[str, Any]) -> str:
    """As it would be written, without quotes: ``NorCal(gamma=1, count=instance)``."""
    texts = []
    for key, value in arguments.items():
        whole = isinstance(value, float) and value.is_integer()
        texts.append(f'{key}={int(value) if whole else value}')
    return f'{name}({", ".join(texts)})' if texts else name


IDENTITY = Setting.of()

_GAMMAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5)
_FINE = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5)


def _norcal(gammas: Sequence[float], **options: Any) -> list[dict]:
    return [dict(type='NorCal', gamma=gamma, **options) for gamma in gammas]


def _shifts(taus: Sequence[float], **options: Any) -> list[dict]:
    return [dict(type='PriorShift', tau=tau, **options) for tau in taus]


def _tau_norm(*taus: float) -> list[dict]:
    return [dict(type='TauNorm', tau=tau) for tau in taus]


def _links(*links: str) -> list[dict]:
    return [dict(type='IIF', link=link) for link in links]


def _fracal(*lams: float, **options: Any) -> list[dict]:
    return [dict(type='FRACAL', lam=lam, **options) for lam in lams]


def _temperatures(*temperatures: float) -> list[dict]:
    return [dict(type='Temperature', temperature=value) for value in temperatures]


def _pairs(first: list[dict], second: list[dict]) -> list[tuple[dict, dict]]:
    return [(a, b) for a in first for b in second]


def default_settings(activation: str, background: bool) -> list[Setting]:
    """About 60 settings, the identity first.

    Args:
        activation: ``'softmax'`` or ``'sigmoid'``.
        background: Whether a softmax has a background channel: not that of a classifier, nor of a
            head with channels of its own for that (Seesaw). Then rules that need it are left out,
            and those that change no order within an image: classes alone compete there.

    Raises:
        BadInputError: Another activation.
    """
    if activation == 'sigmoid':
        single = [
            *_shifts(_FINE),
            *_shifts((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), count='instance'),
            *_tau_norm(0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
            *_fracal(0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
            *_fracal(0.0, 1.0, 2.0, 3.0, count='instance'),
        ]
        pairs = _pairs(_tau_norm(0.25, 0.5, 0.75, 1.0), _shifts((0.1, 0.25, 0.5, 1.0)))
    elif activation != 'softmax':
        raise BadInputError(f"activation is '{activation}', expected 'softmax' or 'sigmoid'")
    elif background:
        single = [
            *_norcal(_GAMMAS),
            *_norcal((0.2, 0.4, 0.6, 0.8, 1.0, 1.5), count='instance'),
            *_shifts((0.1, 0.25, 0.5, 0.75, 1.0)),
            *_shifts((0.25, 0.5, 1.0), count='instance'),
            *_links('raw', 'smooth', 'rel', 'base10'),
            *_tau_norm(0.25, 0.5, 1.0, 1.5),
            *_fracal(0.0, 0.5, 1.0, 2.0, 3.0),
            *_temperatures(0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 3.0),
        ]
        pairs = [
            *_pairs(_norcal((0.3, 0.6, 1.0)), _temperatures(0.7, 1.5, 2.0)),
            *_pairs(_tau_norm(0.5, 1.0), _norcal((0.3, 0.6, 1.0))),
        ]
    else:
        single = [
            *_shifts((*_FINE, 1.75, 2.0, 2.5, 3.0)),
            *_links('raw', 'smooth', 'rel', 'normit', 'gombit'),
            *_tau_norm(0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0),
        ]
        pairs = _pairs(_tau_norm(0.25, 0.5, 0.75, 1.0, 1.5), _shifts((0.1, 0.25, 0.5, 0.75, 1.0)))
    rules = [*((rule,) for rule in single), *pairs]
    return [IDENTITY, *(Setting.of(*each, activation=activation) for each in rules)]


def read_settings(
    path: str | os.PathLike, activation: str = 'softmax', background: bool = True
) -> list[Setting]:
    """Read settings from a Python config or a json, the identity first whether given or not.

    The file has ``rules``, a list. Each entry is the config of a rule, ``dict(type='NorCal',
    gamma=0.5)``, or a list of such configs, applied from first to last; an empty list is the
    identity.

    Args:
        path: ``.py``, which is run, or ``.json``.
        activation, background: Of the head, as in :func:`default_settings`; rules that it does not
            allow are refused.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: The file cannot be read, or an entry is no setting or there twice; says
            which.
    """
    settings = [IDENTITY]
    places = {IDENTITY.name: None}
    for number, entry in enumerate(_entries(path)):
        where = f'{path}: rules[{number}]'
        if not isinstance(entry, (dict, list, tuple)):
            raise BadInputError(f'{where} is {entry!r}, expected a dict or a list of dicts')
        try:
            rules = [entry] if isinstance(entry, dict) else entry
            setting = Setting.of(*rules, activation=activation)
        except BadInputError as error:
            raise BadInputError(f'{where}: {error}') from error
        if setting.needs_background and not background:
            raise BadInputError(
                f'{where} is {setting.name}, which shifts the foreground against the background of '
                "one softmax, which the head does not have; expected dict(type='PriorShift', ...)"
            )
        if places.get(setting.name) is not None:
            raise BadInputError(
                f'{where} is {setting.name}, as rules[{places[setting.name]}] is; expected each '
                'setting once'
            )
        if setting.rules:
            settings.append(setting)
        places[setting.name] = number
    return settings


def _entries(path: str | os.PathLike) -> list:
    """What ``rules`` of the file holds."""
    if not Path(path).is_file():
        raise MissingFileError(f'--rules {path} does not exist, expected a .py or .json file')
    kind = Path(path).suffix
    if kind not in ('.py', '.json'):
        raise BadInputError(f"--rules {path} ends in '{kind}', expected .py or .json")
    try:
        if kind == '.json':
            content = json.loads(Path(path).read_text(encoding='utf-8'))
        else:
            from mmengine import Config  # a second that a json does not need

            content = Config.fromfile(path).to_dict()
    except Exception as error:  # a Python file may raise anything
        raise BadInputError(f'--rules {path} cannot be read: {error}') from error
    rules = content.get('rules') if isinstance(content, dict) else None
    if not isinstance(rules, list) or not rules:
        raise BadInputError(
            f'--rules {path}: rules is {rules!r}, expected a list with at least one rule'
        )
    return rules
