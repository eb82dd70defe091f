"""Prepares batches of several views per image."""

from __future__ import annotations

from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import BadInputError


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """ClsDataPreprocessor that also takes a list of V batches, one a view, and returns V tensors.

    Args:
        **kwargs: Those of ClsDataPreprocessor; ``batch_augments`` mix images of which the views
            are of different ones, so there must be none.

    Raises:
        BadInputError: There are ``batch_augments``.
    """

    def __init__(self, batch_augments: dict | None = None, **kwargs) -> None:
        if batch_augments:
            raise BadInputError(
                f'model.train_cfg is {batch_augments}, but mixup and CutMix cannot be used with '
                'several views per image'
            )
        super().__init__(**kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs`` as ClsDataPreprocessor takes them, or V of them."""
        views = data['inputs']
        if not isinstance(views, list) or _is_image(views[0]):
            return super().forward(data, training)
        ready = [super().forward({**data, 'inputs': views[0]})]
        for view in views[1:]:
            ready.append(super().forward(dict(inputs=view)))
        return {**ready[0], 'inputs': [view['inputs'] for view in ready]}


def _is_image(item) -> bool:
    return isinstance(item, Tensor) and item.ndim == 3
