"""Test-time augmentation put into a config."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..config_parts import classifies
from ..errors import BadInputError

if TYPE_CHECKING:
    from mmengine.config import Config


def use_tta(cfg: Config) -> None:
    """Test with the config's own test-time augmentation, or else with the mirrored image too.

    ``tta_model`` and ``tta_pipeline`` are those of the config where it has them, but that
    MMDetection's ``DetTTAModel``, which refuses masks, gives way to ``InstanceTTAModel``.

    Raises:
        BadInputError: There is no ``test_dataloader``, or its pipeline does not end in packing.
    """
    if not cfg.get('test_dataloader'):
        raise BadInputError('--tta: the config has no test_dataloader')
    model = dict(cfg.get('tta_model') or _default_model(cfg))
    if model.get('type') in ('DetTTAModel', 'mmdet.DetTTAModel'):
        model['type'] = 'InstanceTTAModel'
    for dataset in _plain_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.get('tta_pipeline') or _mirrored_too(dataset.pipeline)
    cfg.model = dict(model, module=cfg.model)


def _default_model(cfg: Config) -> dict:
    if classifies(cfg):
        return dict(type='AverageClsScoreTTA')
    nms = dict(type='nms', iou_threshold=0.5)
    return dict(type='InstanceTTAModel', tta_cfg=dict(nms=nms, max_per_img=300))


def _plain_datasets(dataset: Any) -> Iterator[Any]:
    """The configs inside wrappers."""
    if 'datasets' in dataset:
        for part in dataset.datasets:
            yield from _plain_datasets(part)
    elif 'dataset' in dataset:
        yield from _plain_datasets(dataset.dataset)
    else:
        yield dataset


def _mirrored_too(pipeline: list) -> list:
    """``pipeline`` for the image and its mirror image."""
    if not pipeline or not str(pipeline[-1].get('type')).split('.')[-1].startswith('Pack'):
        last = pipeline[-1].get('type') if pipeline else 'missing'
        raise BadInputError(
            f'--tta: the last step of test_dataloader.dataset.pipeline is {last}, expected '
            'PackDetInputs or PackInputs; or give the config a tta_pipeline of its own'
        )
    pack = deepcopy(pipeline[-1])
    if 'meta_keys' in pack:
        pack.meta_keys = tuple(dict.fromkeys((*pack.meta_keys, 'flip', 'flip_direction')))
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    return [*pipeline[:-1], dict(type='TestTimeAug', transforms=[flips, [pack]])]
