"""The lists of images that the calibration of a classifier needs, and their guard."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmpretrain.registry import DATASETS

from ..dataset_parts import items_of
from ..engine.model_checks import check_same_order
from ..errors import BadInputError, DataWarning, MissingFileError
from ..frequency import ClassFrequency


class ClassifierData:
    """Held-out images, checked to be none of those trained or tested on.

    Images are the same if their paths are, symbolic links of folders followed.

    Args:
        cfg: Config of the classifier.
        held_out: What ``ann_file`` of the config's test data set takes.
        train: The same for the training set; None: that of the config.
        images: Folder that the paths of ``held_out`` begin in; None: that of the config.

    Attributes:
        config: Of the held-out data set.
        labels: (I,) of the held-out images.
        classes: C names.

    Raises:
        MissingFileError: A list that was given, or an image of the held-out ones, does not exist.
        BadInputError: The test data set takes no list, a label is none of the C classes, or images
            are held out that were trained on or are in the test list of the config.
    """

    def __init__(
        self,
        cfg: Config,
        held_out: str | os.PathLike,
        train: str | os.PathLike | None,
        images: str | os.PathLike | None = None,
    ) -> None:
        test = _config_of(cfg, 'test_dataloader')
        if test is None:
            raise BadInputError('the config has no test_dataloader, which reads held-out images')
        self.config = _with_list(test, held_out)
        if images is not None:
            self.config.data_prefix = os.path.abspath(images)
        if self.config.type == 'ListFileDataset':
            self.config.check_images = True
        dataset = _build(self.config, held_out)
        self.config.pop('check_images', None)
        self.classes = [str(name) for name in dataset.metainfo.get('classes') or ()]
        if not len(dataset):
            raise BadInputError(f'{held_out} has no image')
        if not self.classes:
            raise BadInputError(
                f'test_dataloader.dataset ({self.config.type}) names no classes where it reads a '
                'list; expected classes=[...] there, in the order of the labels (of folders, by '
                'name)'
            )
        self.labels = np.asarray(dataset.get_gt_labels(), np.int64)
        outside = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if len(outside):
            raise BadInputError(
                f'{held_out}: item {outside[0]} has label {self.labels[outside[0]]}, expected '
                f'0..{len(self.classes) - 1}'
            )
        self._train = self._read_train(cfg, test, train)
        if self._train is not None:
            check_same_order(self._train, dataset)
        self._guard(dataset, held_out, test, train)

    def frequency(self, carried: ClassFrequency | None) -> ClassFrequency:
        """Statistics of the training set.

        Args:
            carried: Those of the checkpoint. Without, the training list is counted.

        Raises:
            BadInputError: There are none, or they are of another number of classes.
        """
        listed = None if self._train is None else ClassFrequency.from_dataset(self._train)
        if carried is None and listed is None:
            raise BadInputError(
                'the checkpoint carries no class statistics, and the training set of the config '
                'cannot be read; expected its list (--train)'
            )
        frequency = listed if carried is None else carried
        if frequency.num_classes != len(self.classes):
            raise BadInputError(
                f'the statistics of the training set are of {frequency.num_classes} classes, the '
                f'held-out images of {len(self.classes)}'
            )
        if carried is not None and listed is not None:
            difference = carried.difference(listed)
            if difference is not None:
                warnings.warn(
                    'the statistics of the checkpoint are not those of the training list: '
                    f'{difference}; those of the checkpoint are used',
                    DataWarning,
                    stacklevel=2,
                )
        return frequency

    def _read_train(self, cfg: Config, test: ConfigDict, path: str | os.PathLike | None) -> Any:
        config = _config_of(cfg, 'train_dataloader')
        if path is not None:
            plain = config
            while plain is not None and 'dataset' in plain:  # repeated, balanced, ...
                plain = plain.dataset
            if plain is None or 'ann_file' not in plain:
                plain = test
            return _build(_with_list(plain, path), path)
        if config is None:
            return None
        try:
            return _build(_quiet(config), 'the training set of the config')
        except MissingFileError as error:
            warnings.warn(
                f'whether held-out images were trained on is not known: {error}; --train says '
                'where the training list is',
                DataWarning,
                stacklevel=4,
            )
            return None

    def _guard(
        self, dataset: Any, held_out: str | os.PathLike, test: ConfigDict, train: Any
    ) -> None:
        mine = image_paths(dataset)
        if mine is None:
            return
        repeated = [path for path, count in Counter(mine).items() if count > 1]
        if repeated:
            raise BadInputError(
                f'{held_out}: {len(repeated)} images are there more than once, the first is '
                f'{os.path.relpath(repeated[0])}; expected each once: a copy in the other half '
                'would pass for an image that the choice has not seen'
            )
        if self._train is not None:
            where = train or 'the training list of the config'
            _refuse_shared(mine, image_paths(self._train), held_out, where, 'trained on')
        try:
            tested = _build(_quiet(test), 'the test set of the config')
        except MissingFileError:
            return  # there is no test set here
        if _same_file(getattr(tested, 'ann_file', ''), held_out):
            warnings.warn(
                f'{held_out} is the test list of the config: what is measured on it from now on is '
                'no test of the choice',
                DataWarning,
                stacklevel=4,
            )
        else:
            where = 'the test list of the config'
            _refuse_shared(mine, image_paths(tested), held_out, where, 'tested on')


def image_paths(dataset: Any) -> list[str] | None:
    """Paths of the images of a data set, one for each that can be told from another.

    None where items have no path.
    """
    items = items_of(dataset)
    paths = []
    for number, part in enumerate(items.parts):
        for index in items.of_part(number).tolist():
            path = part.get_data_info(index).get('img_path')
            if path is None:
                return None
            folder, name = os.path.split(path)
            paths.append(os.path.join(_real(folder), name))
    return paths


@lru_cache(maxsize=100_000)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _refuse_shared(
    mine: list[str], theirs: list[str] | None, held_out: Any, where: Any, what: str
) -> None:
    known = set(theirs or ())
    shared = [path for path in mine if path in known]
    if shared:
        raise BadInputError(
            f'{held_out}: {len(shared)} of {len(mine)} held-out images are in {where}, the first '
            f'{os.path.relpath(shared[0])}; expected images that are not {what}'
        )


def _config_of(cfg: Config, key: str) -> ConfigDict | None:
    return (cfg.get(key) or {}).get('dataset')


def _with_list(config: ConfigDict, path: str | os.PathLike) -> ConfigDict:
    """The config of a plain data set for another list."""
    config = _quiet(config)
    for key in ('indices', 'word_file'):  # a part of the first list, the words of its images
        config.pop(key, None)
    if not Path(path).exists():
        raise MissingFileError(f'list {path} does not exist')
    config.ann_file = os.path.abspath(path)
    return config


def _quiet(config: ConfigDict) -> ConfigDict:
    config = ConfigDict(config.to_dict() if hasattr(config, 'to_dict') else config)
    if 'check_images' in config:
        config.check_images = False
    return config


def _build(config: ConfigDict, what: Any) -> Any:
    try:
        dataset = DATASETS.build(config)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    except (BadInputError, MissingFileError):
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f'{what} cannot be read: {error}') from error
    except TypeError as error:
        raise BadInputError(
            f'{what} cannot be read by a data set of type {config.type}, as the config has it: '
            f'{error}'
        ) from error
    return dataset


def _same_file(first: str, second: str | os.PathLike) -> bool:
    return os.path.exists(first) and os.path.samefile(first, second)
