"""The affine map ``scale * logits + shift`` that every rule is an instance of."""

from __future__ import annotations

import inspect
import math
import pkgutil
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BadInputError
from ..frequency import ClassFrequency
from ..frequency_module import FrequencyModule, without_statistics
from ..protocols import TakesClassifier
from ..values import check_values

ADJUSTMENTS: dict[str, type[LogitAdjustment]] = {}  # by the name that configs give as type
STAGES = ('both', 'train', 'test')
ACTIVATIONS = ('softmax', 'sigmoid')
# logit of 0.01, where classifiers of independent sigmoids start (Lin et al., arXiv 1708.02002)
SIGMOID_START = math.log(0.01 / 0.99)


def register_adjustment(rule: type[LogitAdjustment]) -> type[LogitAdjustment]:
    """Class decorator: make a rule known to configs by the name of its class."""
    known = ADJUSTMENTS.get(rule.__name__)
    if known is not None:
        raise KeyError(f'there is an adjustment {rule.__name__} in {known.__module__} already')
    ADJUSTMENTS[rule.__name__] = rule
    return rule


class LogitAdjustment(FrequencyModule):
    """``z'_c = scale_c * z_c + shift_c`` with coefficients from class statistics.

    A rule implements :meth:`coefficients`. Channels behind the C classes (the background) have
    scale 1 and shift 0 unless a rule says otherwise. Calling the module before
    :meth:`set_class_frequency` or a checkpoint has brought statistics is an error.

    Where the scores are independent sigmoids, almost all logits are negative and a class is as
    likely as its own prior: rules that multiply leave the logit alone where such classifiers start
    (``pivot``), and rules that add move no class on average.

    Args:
        num_classes: C, foreground classes.
        num_extra: Channels behind them, 1 for a softmax with background.
        stage: When the map is applied: ``'both'``, ``'train'`` or ``'test'``.
        activation: What makes scores of the logits, ``'softmax'`` or ``'sigmoid'``.

    Attributes:
        scale, shift: float32 buffers (C + num_extra,).
        multiplies: Whether the rule has scales other than 1.
        needs_background: Whether it trades the foreground for the background of one softmax.
    """

    scale: Tensor
    shift: Tensor
    data_buffers = (*FrequencyModule.data_buffers, 'scale', 'shift')
    multiplies = True
    needs_background = False

    def __init__(
        self,
        num_classes: int,
        num_extra: int = 0,
        stage: str = 'both',
        activation: str = 'softmax',
    ) -> None:
        super().__init__(num_classes)
        check_values('adjustment', stage=(stage, STAGES), activation=(activation, ACTIVATIONS))
        self.stage = stage
        self.activation = activation
        self.register_buffer('scale', torch.ones(num_classes + num_extra))
        self.register_buffer('shift', torch.zeros(num_classes + num_extra))

    @property
    def rules(self) -> tuple[LogitAdjustment, ...]:
        """This one alone, as those of :class:`ComposedAdjustment`."""
        return (self,)

    @property
    def pivot(self) -> float:
        """The logit that a scale leaves alone."""
        return SIGMOID_START if self.activation == 'sigmoid' else 0.0

    @property
    def affine(self) -> bool:
        """Whether ``scale`` and ``shift`` are all of it."""
        return True

    @property
    def active(self) -> bool:
        """Whether the map is applied in the present mode (training or evaluation)."""
        return self.stage in ('both', 'train' if self.training else 'test')

    @property
    def ready(self) -> bool:
        """Whether the coefficients have been set."""
        return self.has_frequency

    @property
    def scales_in_training(self) -> bool:
        """Whether training multiplies logits, which asks for a small predictor at the start."""
        return False

    def coefficients(self, frequency: ClassFrequency) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift in float64, of the C classes or of all C + num_extra channels."""
        raise NotImplementedError

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        super().set_class_frequency(frequency)
        with torch.no_grad():
            scale, shift = self.coefficients(frequency)
            for buffer, values, behind in ((self.scale, scale, 1), (self.shift, shift, 0)):
                buffer[: len(values)] = torch.from_numpy(values)
                buffer[len(values) :] = behind  # a checkpoint of another rule may have others

    def forward(self, logits: Tensor, dim: int = -1, inplace: bool = False) -> Tensor:
        """Adjust logits; half precision comes back as float32.

        Args:
            logits: Their size in ``dim`` is A (C + num_extra), for A anchors the channel of class
                c and anchor a is ``a (C + num_extra) + c``.
            dim: Of the channels.
            inplace: Whether float32 logits may be overwritten, which saves a copy.
        """
        if not self.active:
            return logits
        if not self.ready:
            raise without_statistics(self)
        return self.adjusted(logits, dim, inplace)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """Scale and shift (C + num_extra,) of the map, where it is affine."""
        return self.scale, self.shift

    def adjusted(self, logits: Tensor, dim: int, inplace: bool) -> Tensor:
        """The map itself, see :meth:`forward`."""
        scale, shift = (along(vector, logits, dim) for vector in self.affine_map())
        if inplace and logits.dtype == scale.dtype and not scale.requires_grad:
            return (logits.mul_(scale) if self.multiplies else logits).add_(shift)
        return (logits * scale if self.multiplies else logits) + shift

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if 'factor' not in self._parameters and prefix + 'factor' in state_dict:  # LearnedScale's
            state_dict[prefix + 'scale'] = state_dict.pop(prefix + 'factor')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if not (prefix + 'image_count' in state_dict and self.has_frequency):
            return
        # The counts are data, the rule is configuration: another rule than in training is allowed.
        saved = self.scale.clone(), self.shift.clone()
        self.set_class_frequency(self.frequency)
        same = all(map(torch.allclose, saved, (self.scale, self.shift)))
        if prefix + 'scale' in state_dict and not same:
            self._warn_of_other_rule(prefix)

    def _warn_of_other_rule(self, prefix: str) -> None:
        warnings.warn(
            f'{prefix[:-1]}: the checkpoint was saved with another rule than the configured '
            f'{self}; its class counts are kept and the configured rule is used',
            stacklevel=3,
        )


class ComposedAdjustment(nn.Module):
    """Several adjustments one after the other, each at its own stage."""

    rules: Sequence[LogitAdjustment]

    def __init__(self, rules: Sequence[LogitAdjustment]) -> None:
        super().__init__()
        self.rules = nn.ModuleList(rules)  # type: ignore[assignment]  # which is one of modules

    @property
    def active(self) -> bool:
        """Whether a rule is applied in the present mode."""
        return any(rule.active for rule in self.rules)

    @property
    def affine(self) -> bool:
        return all(rule.affine for rule in self.rules)

    @property
    def scale(self) -> Tensor:
        """Scale (C + num_extra,) of the whole map in the present mode."""
        return self._composed()[0]

    @property
    def shift(self) -> Tensor:
        """Shift (C + num_extra,) of the whole map in the present mode."""
        return self._composed()[1]

    @property
    def scales_in_training(self) -> bool:
        return any(rule.scales_in_training for rule in self.rules)

    @property
    def has_frequency(self) -> bool:
        return all(rule.has_frequency for rule in self.rules)

    def set_class_frequency(self, frequency: ClassFrequency) -> None:
        for rule in self.rules:
            rule.set_class_frequency(frequency)

    def forward(self, logits: Tensor, dim: int = -1, inplace: bool = False) -> Tensor:
        """Adjust logits, see :meth:`LogitAdjustment.forward`."""
        for rule in self.rules:
            logits = rule(logits, dim, inplace)
        return logits

    def _composed(self) -> tuple[Tensor, Tensor]:
        if not self.affine:
            raise RuntimeError('not all of these rules are affine maps, so there is no scale')
        scale = torch.ones_like(self.rules[0].scale)
        shift = torch.zeros_like(scale)
        for rule in self.rules:
            if rule.active:
                outer, offset = rule.affine_map()
                scale, shift = outer * scale, outer * shift + offset
        return scale, shift


def along(vector: Tensor, logits: Tensor, dim: int) -> Tensor:
    """A vector (K,) that broadcasts against logits with A x K channels in ``dim``."""
    behind = logits.dim() - 1 - dim % logits.dim()
    anchors = logits.size(dim) // len(vector)
    return vector.repeat(anchors).view(-1, *(1,) * behind) if behind or anchors > 1 else vector


def show_classifier(
    adjustment: LogitAdjustment | ComposedAdjustment | None,
    weight: Tensor,
    bias: Tensor | None = None,
) -> None:
    """Let the rules that read a classifier (``TauNorm``) read ``weight`` (C + num_extra, D)."""
    for rule in () if adjustment is None else adjustment.rules:
        if isinstance(rule, TakesClassifier):
            rule.set_classifier(weight, bias)


def build_adjustment(
    cfg: dict | Sequence[dict],
    frequency: ClassFrequency | None = None,
    background: bool = True,
    num_classes: int | None = None,
    num_extra: int | None = None,
    activation: str = 'softmax',
) -> LogitAdjustment | ComposedAdjustment:
    """Build an adjustment from its config, or the composition of a list of them.

    Args:
        cfg: ``dict(type='IIF', link='raw')``, or a list applied from first to last.
        frequency: Statistics; without them ``num_classes`` is needed and they are set later.
        background: Whether one background channel follows the classes.
        num_classes: C.
        num_extra: Channels behind the classes, where it is not ``int(background)``.
        activation: ``'softmax'``, or ``'sigmoid'`` where the scores of classes are independent.

    Raises:
        BadInputError: Unknown type (lists those that exist), bad argument, or a rule that is not
            defined for the activation.
    """
    if not cfg:
        raise BadInputError(f'adjustment is {cfg!r}, expected a dict or a list of dicts')
    if frequency is not None:
        num_classes = frequency.num_classes
    if num_classes is None:
        raise BadInputError('build_adjustment needs frequency or num_classes')
    extra = int(background) if num_extra is None else num_extra
    rules = [
        _build_rule(rule, num_classes, extra, activation)
        for rule in ([cfg] if isinstance(cfg, dict) else cfg)
    ]
    adjustment = rules[0] if len(rules) == 1 else ComposedAdjustment(rules)
    if frequency is not None:
        adjustment.set_class_frequency(frequency)
    return adjustment


def _build_rule(cfg: dict, num_classes: int, num_extra: int, activation: str) -> LogitAdjustment:
    known = ', '.join(sorted(ADJUSTMENTS))
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise BadInputError(
            f'adjustment is {cfg!r}, expected dict(type=..., ...) with one of {known}'
        )
    arguments = dict(cfg)
    name = arguments.pop('type')
    rule = _rule_named(name) if isinstance(name, str) else name
    if rule is None:
        raise BadInputError(f"adjustment.type '{name}' does not exist; there are {known}")
    try:
        return rule(
            num_classes=num_classes, num_extra=num_extra, activation=activation, **arguments
        )
    except TypeError as error:
        options = _options(rule) if isinstance(rule, type) else {}
        unknown = sorted(arguments.keys() - options) if options else []
        missing = [key for key, needed in options.items() if needed and key not in arguments]
        if unknown:
            what = f'{unknown[0]} is {arguments[unknown[0]]!r}, which {rule.__name__} has not'
            expected = f'some of {", ".join(sorted(options))}'
        elif missing:
            what, expected = f'{missing[0]} is missing', f'a value, which {rule.__name__} needs'
        else:
            raise BadInputError(f'adjustment={dict(cfg)}: {error}') from error
        raise BadInputError(f'adjustment.{what}; expected {expected}') from error


def _options(rule: type[LogitAdjustment]) -> dict[str, bool]:
    """Names of the arguments of a rule that a config gives, and whether it has to."""
    kinds = [kind for kind in reversed(rule.__mro__) if issubclass(kind, LogitAdjustment)]
    options = {
        name: option.default is inspect.Parameter.empty
        for kind in kinds
        for name, option in inspect.signature(kind.__init__).parameters.items()
    }
    for name in ('self', 'kwargs', 'num_classes', 'num_extra', 'activation'):
        options.pop(name, None)
    return options


def _rule_named(name: str) -> type[LogitAdjustment] | None:
    """The rule of that name; a config that was dumped may have it with its module."""
    if '.' not in name:
        return ADJUSTMENTS.get(name)
    try:
        return pkgutil.resolve_name(name)
    except (AttributeError, ImportError, ValueError):
        return None
