"""Tells the federated loss which classes the images of a batch were annotated for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ..bare_model import bare_model
from ..dataset_parts import items_of
from ..errors import BadInputError
from ..protocols import TakesImageLists

LISTS = ('neg_category_ids', 'not_exhaustive_category_ids')


@HOOKS.register_module()
class FederatedLabelsHook(Hook):
    """Hands the lists of each batch to every loss that asks for them by ``set_images``.

    The training pipeline has to keep the lists: ``PackDetInputs`` with both names in ``meta_keys``.
    """

    def before_train(self, runner: Runner) -> None:
        parts = items_of(runner.train_dataloader.dataset).parts
        for part in parts:
            if not hasattr(part, 'cat_ids'):
                raise BadInputError(
                    f'FederatedLabelsHook: train_dataloader.dataset is {type(part).__name__}, '
                    'expected LongTailLVISDataset, which has the lists of LVIS'
                )
            if list(part.cat_ids) != list(parts[0].cat_ids):
                raise BadInputError(
                    f'FederatedLabelsHook: the ids of the categories in {parts[0].ann_file} and '
                    f'{part.ann_file} differ, so that their lists cannot be told apart; expected '
                    'the same ids in each file'
                )
        self._label = {category: label for label, category in enumerate(parts[0].cat_ids)}
        model = bare_model(runner.model)
        self._losses = [module for module in model.modules() if isinstance(module, TakesImageLists)]
        if not self._losses:
            raise BadInputError(
                'FederatedLabelsHook: no part of the model asks for the lists; expected '
                "bbox_head.loss_cls.type='FederatedLoss'"
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        samples = data_batch['data_samples']
        for key in LISTS:
            if key not in samples[0].metainfo:
                raise BadInputError(
                    f"train_pipeline: meta_keys of PackDetInputs lacks '{key}', which "
                    'FederatedLabelsHook reads'
                )
        lists = [self._table([sample.metainfo[key] for sample in samples]) for key in LISTS]
        for loss in self._losses:
            loss.set_images(*lists)

    def _table(self, images: Sequence[Sequence[int]]) -> Tensor:
        """Boolean (B, C) of category ids by image; categories that are not trained are dropped."""
        table = torch.zeros(len(images), len(self._label), dtype=torch.bool)
        for row, categories in zip(table, images):
            labels = [self._label[category] for category in categories if category in self._label]
            row[labels] = True
        return table
