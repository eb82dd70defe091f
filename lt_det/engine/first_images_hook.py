"""Looks whether the images of a run are where its data sets look for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..dataset_parts import items_of
from ..datasets.mask_loading import image_loader
from ..errors import BadInputError, MissingFileError

FIRST = 3  # images of each data set: a wrong folder lacks them all


@HOOKS.register_module()
class FirstImagesHook(Hook):
    """Refuses to start where the first images of a data set in use do not exist.

    Those of training and validation before a training, those of the test before a test. Data sets
    whose images MMCV's loader does not read from local files are left alone.

    Raises:
        MissingFileError: An image does not exist; names the data set, its list and the path.
    """

    def before_run(self, runner: Runner) -> None:
        for part in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{part}_loop')
            if hasattr(loop, 'dataloader'):  # otherwise the loop is still a config
                check_first_images(loop.dataloader.dataset, f'{part}_dataloader.dataset')


def check_first_images(dataset: Any, key: str, most: int = FIRST) -> None:
    """Refuse a data set, or wrappers of some, whose first images do not exist.

    Args:
        dataset: The data set.
        key: Where it is in the config.
        most: How many images of each data set to look for.

    Raises:
        MissingFileError: Names the key, the list and, where it has lines, the line, and the path.
    """
    for part in _plain_datasets(dataset):
        for index in range(min(most, len(part))):
            path = part.get_data_info(index).get('img_path')
            if path is None or '://' in str(path) or os.path.exists(path):
                continue
            lines = hasattr(part, 'place_of')
            place = part.place_of(index) if lines else f'{part.ann_file}, item {index}'
            raise MissingFileError(
                f'{place}: image {path} does not exist; expected images below '
                f"data_root='{part.data_root}' and data_prefix={dict(part.data_prefix)} of {key}"
            )


def _plain_datasets(dataset: Any) -> Iterator[BaseDataset]:
    """Those of MMEngine's kind, in wrappers or not, that read local files."""
    try:
        parts = items_of(dataset).parts
    except (BadInputError, TypeError):  # a wrapper that is not known, or one without a length
        return
    for part in parts:
        loader = image_loader(getattr(part, 'pipeline', None))
        remote = (getattr(loader, key, None) for key in ('backend_args', 'file_client_args'))
        if isinstance(part, BaseDataset) and loader is not None and not any(remote):
            yield part
