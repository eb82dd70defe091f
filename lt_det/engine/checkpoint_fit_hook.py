"""Looks whether a checkpoint is one of the model that it is loaded into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..bare_model import bare_model
from ..errors import BadInputError
from ..label_order import first_moved, follow_json
from ..models.any_detector.class_logits import find_class_logits


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuses to test weights of another model, which MMEngine loads as far as names agree.

    A training may begin with any weights, as those of another data set.

    Raises:
        BadInputError: See :func:`check_fits` and :func:`check_names`.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if hasattr(runner._train_loop, 'dataloader'):  # otherwise it is a config, or none
            return
        source = str(runner._load_from)
        check_fits(bare_model(runner.model), checkpoint, source)
        loader = getattr(runner._test_loop, 'dataloader', None)
        # a CocoDataset numbers labels by its json, whatever names a checkpoint lists
        open_vocabulary = hasattr(bare_model(runner.model), 'eval_tokens')
        if loader is not None and not follow_json(runner.cfg) and not open_vocabulary:
            metainfo = getattr(loader.dataset, 'metainfo', None) or {}
            check_names(metainfo.get('classes'), checkpoint, source)


def check_names(names: Sequence[str] | None, checkpoint: Mapping[str, Any], source: str) -> None:
    """Refuse a checkpoint that gives a class another label.

    Args:
        names: Of the classes of the test, in the order of their labels; None if it has none.
        checkpoint: As MMEngine writes it, with the names in ``meta``.
        source: Its path or address.

    Raises:
        BadInputError: Names the first label whose class is another.
    """
    meta = checkpoint.get('meta')
    dataset_meta = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    trained = dataset_meta.get('classes') if isinstance(dataset_meta, Mapping) else None
    lists = all(isinstance(one, (list, tuple)) for one in (names, trained))
    label = first_moved(names, trained) if lists else None
    if label is None:
        return
    there = repr(trained[label]) if label < len(trained) else 'none'
    raise BadInputError(
        f'checkpoint {source} has the classes in another order: label {label} is {there} there '
        f'and {names[label]!r} in the test set ({len(trained)} and {len(names)} classes); expected '
        "the names of metainfo['classes'] in the order of the training"
    )


def check_fits(model: nn.Module, checkpoint: Mapping[str, Any], source: str) -> None:
    """Refuse a checkpoint without the weights of the classifiers, or without most weights.

    A checkpoint that lacks other weights passes: a rule with a parameter may be added for the test,
    and parts for the training alone may be left out.

    Args:
        model: What the config builds.
        checkpoint: What ``torch.save`` wrote; MMEngine's, or a state dict alone.
        source: Its path or address.

    Raises:
        BadInputError: Names a weight, and its shape in both where the checkpoint has it.
    """
    state = checkpoint.get('state_dict', checkpoint)
    found = {key.removeprefix('module.'): tuple(getattr(state[key], 'shape', ())) for key in state}
    # with test-time augmentation the model is in a wrapper
    weights = {name.removeprefix('module.'): weight for name, weight in model.named_parameters()}
    expected = {name: tuple(weight.shape) for name, weight in weights.items()}
    wrong = [name for name, shape in expected.items() if found.get(name) != shape]
    chosen = _classifiers(model)
    classifiers = {name for name, weight in weights.items() if id(weight) in chosen}
    first = next((name for name in wrong if name in classifiers), None)
    if first is None and 2 * len(wrong) <= len(expected):
        return
    first = first or wrong[0]
    there = f'has {first} of shape {found[first]}' if first in found else f'has no {first}'
    raise BadInputError(
        f'checkpoint {source} is of another model: it {there}, expected shape {expected[first]} '
        f'({len(wrong)} of the {len(expected)} weights that the config asks for are not in it)'
    )


def _classifiers(model: nn.Module) -> set[int]:
    """Identities of the weights that compute class logits at test, where they are known."""
    try:
        heads = find_class_logits(model)
    except BadInputError:  # of a head without any
        return set()
    layers = [layer for logits in heads for layer in logits.at_test]
    head = getattr(model, 'head', None)  # of an image classifier
    number = getattr(head, 'num_classes', None)
    if isinstance(head, nn.Module) and number:
        layers += [part for part in head.modules() if getattr(part, 'out_features', 0) == number]
    return {id(weight) for layer in layers for weight in layer.parameters()}
