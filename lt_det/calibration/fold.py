"""A checkpoint with a chosen rule in its weights, and the stock config beside it.

What comes out runs in MMDetection or MMPretrain without this package. It is for inference: losses
of training with a rule do not apply to it.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..compat.checkpoint import restrict_checkpoint_loading
from ..compat.config_names import PREFIX, config_path
from ..config_file import read_config
from ..errors import BadInputError, DataWarning, MissingFileError, UserError
from ..formats.files import sha256, whole_file
from ..version import __version__
from .choice import Choice, read_choice
from .fold_weights import fold_weights
from .stock_config import models_of, stock_config
from .stock_model import temperature_key

MARK = 'lt_det_folded'


@dataclass
class Folded:
    """What was written.

    Args:
        checkpoint: Path of the weights.
        config: Path of the stock config.
        setting: Name of the rule.
        layers: Names of the weights that it is in.
        dropped: Entries of the checkpoint that stock models do not have.
        needs: Parts of the model that only this package has; empty for a stock model.
    """

    checkpoint: Path
    config: Path
    setting: str
    layers: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)


def fold(
    checkpoint: str | os.PathLike,
    choice: str | os.PathLike,
    out: str | os.PathLike,
    trust: bool = False,
) -> Folded:
    """Write a checkpoint with the chosen rule in its weights, and the stock config beside it.

    Averaged weights (EMA) are those that MMEngine saves as ``state_dict``, which inference reads:
    they are folded, and the others left out, as is what only training needs.

    Args:
        checkpoint: The file that was calibrated.
        choice: ``choice.json`` of the calibration.
        out: Path of the new checkpoint, which ends in .pth; the config has its name with .py.
        trust: Whether checkpoints may hold more than tensors, and the config come from there where
            its file is gone; both run what the checkpoint contains.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: The choice is to leave the model as it is, belongs to another checkpoint or
            config, or has no affine map; a layer cannot take the rule; the checkpoint has been
            folded already or ``out`` exists; or folding gives what is no number.
        UserError: A file cannot be written.
    """
    chosen = read_choice(choice)
    out, out_config = _targets(out)
    _check_choice(chosen, choice)
    content = _read(checkpoint, trust)
    digest = _check_checkpoint(content, checkpoint, chosen, choice)
    state = content['state_dict']
    config, stock = stock_config(_config(chosen, choice, content, trust), chosen, state)
    init_default_scope(config.get('default_scope') or 'mmdet')
    model = models_of(chosen.kind).build(copy.deepcopy(config.model))  # DETRs write into it
    weights = {**state, **stock.weights}
    folded, factors = fold_weights(model, weights, chosen)
    for layer, factor in factors.items():
        _scale_temperature(config, layer, factor)
    state = _state_of(model, {**weights, **folded})
    without = f'needs lt_det for {", ".join(stock.needs)}' if stock.needs else 'needs no lt_det'
    text = f'# tests {out.name}, with {chosen.setting["name"]} folded in; {without}\n'
    text += config.pretty_text
    meta = {
        MARK: dict(setting=chosen.setting, checkpoint=digest, version=__version__),
        'dataset_meta': dict(classes=tuple(chosen.classes)),
        'cfg': text,
    }
    with whole_file(out_config) as config_part, whole_file(out) as part:
        config_part.write_text(text, encoding='utf-8')
        try:
            torch.save(dict(meta=meta, state_dict=state), part)
        except RuntimeError as error:  # as torch says that a disk is full
            raise UserError(f'{out} cannot be written: {error}') from error
    dropped = sorted(set(content['state_dict']) - set(state))
    return Folded(out, out_config, chosen.setting['name'], sorted(folded), dropped, stock.needs)


def _state_of(model: nn.Module, weights: Mapping[str, Tensor]) -> OrderedDict:
    """The weights that the model has, in its order.

    Raises:
        BadInputError: One is missing or of another shape.
    """
    template = model.state_dict()
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    state = OrderedDict()
    for name, like in template.items():
        value = weights.get(name)
        if value is None and name in parameters:
            raise BadInputError(f'the checkpoint has no {name}, which the stock model has')
        if value is not None and value.shape != like.shape:
            raise BadInputError(
                f'{name} is {tuple(value.shape)} in the checkpoint, but the stock model has '
                f'{tuple(like.shape)}'
            )
        state[name] = like if value is None else value
    state._metadata = template._metadata
    return state


def _targets(out: str | os.PathLike) -> tuple[Path, Path]:
    out = Path(out)
    if out.suffix != '.pth':
        raise BadInputError(f'OUT is {out}, expected a file name that ends in .pth')
    config = out.with_suffix('.py')
    for path in (out, config):
        if path.exists():
            raise BadInputError(f'{path} exists, expected the name of a new file')
    return out, config


def _check_choice(choice: Choice, path: str | os.PathLike) -> None:
    if not choice.fold:
        raise BadInputError(
            f'{path}: fold is false, so there is nothing to fold; the calibration left the model '
            f'as it is: {choice.reason}'
        )
    for head in choice.heads:
        if head.not_affine is not None:
            raise BadInputError(
                f'{path}: {choice.setting["name"]} is no affine map of the logits of {head.name} '
                f'and cannot be folded: {head.not_affine}'
            )


def _read(checkpoint: str | os.PathLike, trust: bool) -> dict:
    restrict_checkpoint_loading(trust)
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    if not isinstance(content, dict) or not isinstance(content.get('state_dict'), dict):
        raise BadInputError(
            f'checkpoint {checkpoint} has no state_dict, expected one that training has saved'
        )
    return content


def _check_checkpoint(
    content: dict, checkpoint: str | os.PathLike, choice: Choice, path: str | os.PathLike
) -> str:
    """SHA-256 of the checkpoint, which is that of the choice and not folded yet."""
    mark = (content.get('meta') or {}).get(MARK)
    if mark is not None:
        raise BadInputError(
            f'checkpoint {checkpoint} has been folded already ({mark["setting"]["name"]}); '
            'expected the one that training has saved'
        )
    digest, expected = sha256(checkpoint), choice.sha256['checkpoint']
    if digest != expected:
        raise BadInputError(
            f'checkpoint {checkpoint} is not the one that {path} was chosen for '
            f'({choice.checkpoint}): its SHA-256 is {digest[:12]}..., expected '
            f'{str(expected)[:12]}...'
        )
    return digest


def _config(choice: Choice, path: str | os.PathLike, content: dict, trust: bool) -> Config:
    """The config of the calibration, or else that of the training, from the checkpoint."""
    name = choice.config
    file = Path(config_path(name) if name.startswith(PREFIX) else name)
    beside = Path(path).with_name(file.name)  # where both were moved
    file = file if file.is_file() else beside
    if name and file.is_file():
        if choice.sha256['config'] not in (None, sha256(file)):
            raise BadInputError(
                f'config {name} is not the one that {path} was chosen with; expected the file as '
                'it was'
            )
        return read_config(file)
    text = (content.get('meta') or {}).get('cfg')
    if not isinstance(text, str) or not text or not trust:
        raise MissingFileError(
            f"config '{name}' of {path} does not exist"
            + ('; --trust-checkpoint uses the text that the checkpoint has of it' if text else '')
        )
    warnings.warn(
        f"config '{name}' does not exist; that of the training, in the checkpoint, is used",
        DataWarning,
        stacklevel=2,
    )
    return Config.fromstring(text, '.py')


def _scale_temperature(config: Config, layer: str, factor: float) -> None:
    """Multiply the factor of a normalised layer where its head has it in the config."""
    path, _, name = layer.rpartition('.')
    node = config.model
    for key in path.split('.') if path else ():
        node = node[int(key)] if isinstance(node, (list, tuple)) else node.get(key, {})
    predictor = node.get('cls_predictor_cfg') if name == 'fc_cls' else None
    if predictor is None:
        raise BadInputError(
            f'layer {layer} is a normalised one, whose factor stands in no key of the config: the '
            'rule, which multiplies all logits, cannot be folded into it'
        )
    predictor[temperature_key()] = predictor.get(temperature_key(), 20.0) * factor
