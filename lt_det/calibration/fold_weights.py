"""``W' = s W`` and ``b' = s b + t`` on the rows of class layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmdet.models.layers.normed_predictor import NormedConv2d, NormedLinear
from torch import Tensor, nn

from ..errors import BadInputError
from .choice import Choice, HeadMap

# layers that compute w x + b
_PLAIN = ('Linear', 'Conv2d', 'NonDynamicallyQuantizableLinear')


def fold_weights(
    model: nn.Module, state: Mapping[str, Tensor], choice: Choice
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The weights that a rule changes.

    Args:
        model: A stock model, for its layers; its own weights are not read.
        state: Weights by name.
        choice: Of which the maps of the heads are read.

    Returns:
        New tensors by name, one tensor under all names of a layer that several branches share, and
        factors of the temperatures of normalised layers, by path.

    Raises:
        BadInputError: A layer is not there, or cannot take the rule.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    folded: dict[str, Tensor] = {}
    factors: dict[str, float] = {}
    for head in choice.heads:
        for path in head.layers:
            layer = _layer(model, path)
            if f'{path}.weight' in folded:
                continue  # one layer under several paths
            values = {}
            for part in ('weight', 'bias'):
                parameter = getattr(layer, part, None)
                if parameter is not None:
                    values[part] = _shared(state, names[id(parameter)], parameter, path)
            new, factor = _folded(layer, values, head, path)
            if factor != 1:
                factors[path] = factor
            for part, value in new.items():
                folded.update(dict.fromkeys(names[id(getattr(layer, part))], value))
    return folded, factors


def _folded(
    layer: nn.Module, values: dict[str, Tensor], head: HeadMap, path: str
) -> tuple[dict[str, Tensor], float]:
    """Weight and bias of a layer after the map, and the factor of its temperature."""
    scale = torch.tensor(head.scale, dtype=torch.float64)
    shift = torch.tensor(head.shift, dtype=torch.float64)
    rows = len(values['weight'])
    if rows == len(scale) - head.num_extra and head.activation == 'sigmoid':
        scale, shift = scale[:rows], shift[:rows]  # the stock head has no background
    if rows % len(scale):
        raise BadInputError(
            f'layer {path} has {rows} channels, expected a multiple of {len(head.scale)}, the '
            f'length of the scale of head {head.name}'
        )
    if 'bias' not in values and shift.any():
        raise BadInputError(
            f'layer {path} is a {type(layer).__name__} without bias, and stock heads have none '
            'there: the rule adds to the logits, which needs one'
        )
    anchors, factor = rows // len(scale), 1.0
    scale, shift = scale.repeat(anchors), shift.repeat(anchors)
    if isinstance(layer, (NormedLinear, NormedConv2d)):
        factor = scale[0].item()
        if (scale != factor).any():
            raise BadInputError(
                f'layer {path} is a {type(layer).__name__}, which divides the weights of each '
                'class by their norm: a rule that multiplies classes differently cannot be folded '
                'into them'
            )
    elif type(layer).__name__ not in _PLAIN:
        raise BadInputError(
            f'layer {path} is a {type(layer).__name__}, expected a Linear or Conv2d, or a '
            'normalised one: into others a rule cannot be folded'
        )
    old = {part: value.double().cpu() for part, value in values.items()}
    new = {}
    if not isinstance(layer, (NormedLinear, NormedConv2d)):
        new['weight'] = old['weight'] * scale.view(-1, *[1] * (old['weight'].dim() - 1))
    if 'bias' in old:
        new['bias'] = old['bias'] * scale + shift
    new = {part: value.to(values[part].dtype) for part, value in new.items()}
    for part, value in {**values, **new}.items():
        if not value.isfinite().all():
            raise BadInputError(
                f'{path}.{part} has {(~value.isfinite()).sum()} of {value.numel()} values that are '
                f'no finite numbers{"" if values[part].isfinite().all() else " in the checkpoint"}'
            )
    return new, factor


def _shared(state: Mapping[str, Tensor], names: list[str], parameter: Tensor, path: str) -> Tensor:
    """The values of a parameter in the checkpoint, which may have it under several names.

    Where branches share a layer in the stock model too, all calls of it see the rule, as they do
    when the rule acts behind the layer.
    """
    missing = [name for name in names if name not in state]
    if missing:
        raise BadInputError(f'the checkpoint has no {missing[0]}, expected the weights of {path}')
    value = state[names[0]]
    for name in names[1:]:
        if not torch.equal(state[name], value):
            raise BadInputError(
                f'{names[0]} and {name} are one weight in the model, but differ in the checkpoint'
            )
    if len(value) > len(parameter):  # channel of the background of independent sigmoids
        value = value[: len(parameter)]
    return value


def _layer(model: nn.Module, path: str) -> nn.Module:
    try:
        layer = model.get_submodule(path)
    except AttributeError:
        raise BadInputError(
            f'the choice has layer {path}, which {type(model).__name__} does not have'
        ) from None
    if not isinstance(getattr(layer, 'weight', None), nn.Parameter):
        raise BadInputError(f'layer {path} is a {type(layer).__name__} without weights')
    return layer
