"""The annotation files that the calibration of a detector needs, and their guard."""

from __future__ import annotations

import filecmp
import os
import os.path as osp
import warnings
from functools import cached_property

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict

from ..adjustments.box_dimension import box_dimension_of
from ..config_parts import (
    annotation_file,
    image_folder,
    lvis_metric,
    plain_dataset,
    plain_datasets,
)
from ..engine.first_images_hook import check_first_images
from ..errors import BadInputError, DataWarning, MissingFileError
from ..evaluation.engine import MAX_DETS
from ..evaluation.ground_truth import GroundTruth
from ..evaluation.predictions import match_classes
from ..formats.annotation_cache import load_columns
from ..formats.annotation_columns import AnnotationColumns
from ..formats.image_paths import find_images
from ..frequency import ClassFrequency
from ..label_order import classes_of, without_categories


class DetectorData:
    """Held-out images, checked to be none of those trained or tested on.

    Args:
        cfg: Config of the detector.
        held_out: LVIS or COCO json.
        train: That of the images trained on; None: that of the config, where it is there.
        images: Folder of the held-out images; None: that of the config's test data set.

    Attributes:
        dataset: The held-out data set, with the test pipeline.
        truth: Its annotations.
        classes: C names, in the order of the labels.
        categories: (C,) number of the category of each label in ``truth``.
        limit: Detections that count, of an image (lvis) or of each category of an image (coco).

    Raises:
        MissingFileError: A file that was given, or an image, does not exist.
        BadInputError: A file cannot be used, the classes of the config are not in it, or images are
            held out that were trained on, or are in another json that the config tests on.
    """

    def __init__(
        self,
        cfg: Config,
        held_out: str | os.PathLike,
        train: str | os.PathLike | None = None,
        images: str | os.PathLike | None = None,
    ) -> None:
        test = plain_dataset(cfg, 'test_dataloader')
        if test is None:
            raise BadInputError(
                'test_dataloader.dataset of the config has no ann_file of its own, expected one '
                'data set of a json, whose pipeline reads the held-out images'
            )
        self.held_out = str(held_out)
        metric = lvis_metric(cfg, 'test_evaluator')
        self._bounds = metric.get('bounds')
        trained = [annotation_file(part) for part in plain_datasets(cfg, 'train_dataloader')]
        # of several, counts would have to be summed, which --train of a joined json does
        one = trained[0] if len(trained) == 1 else None
        self.train_file = _file(train, '--train') if train else one
        self._trained = [path for path in trained if path is not None]
        _file(held_out, '--held-out')
        columns = load_columns(held_out, make_cache=False)
        self._guard(cfg, columns, test, images, given=bool(train))
        config = ConfigDict(test.to_dict())
        config.pop('indices', None)
        config.update(ann_file=osp.abspath(held_out), test_mode=True)
        named = classes_of(test)
        if named is not None and not set(named) & set(columns.category_names):
            raise without_categories(config, 'test_dataloader.dataset', columns.category_names)
        if images is not None:
            config.data_prefix = dict(img=osp.abspath(images))
        self.dataset = DATASETS.build(config)
        self.dataset.full_init()
        place = 'test_dataloader.dataset, or in --images'
        check_first_images(self.dataset, place, most=len(self.dataset))
        self.classes = list(self.dataset.metainfo['classes'])
        self.truth = GroundTruth(columns, metric.get('protocol', 'auto'))
        self.categories = match_classes(self.classes, self.truth)
        limit = metric.get('max_per_img')
        self.limit = MAX_DETS[self.truth.protocol] if limit is None else limit
        if not self.truth.annotated(np.ones(self.truth.num_images, bool))[self.categories].any():
            raise BadInputError(
                f'{held_out} has no annotation of the {len(self.classes)} classes, expected some '
                'to judge detections by'
            )

    def frequency(self, carried: ClassFrequency | None) -> ClassFrequency:
        """Statistics of the training set, in the order of the labels, with their names.

        Args:
            carried: Those of the checkpoint. Without, the training json is counted.

        Raises:
            BadInputError: There are none, or they are of other classes.
        """
        if carried is None and self._train is None:
            several = len(self._trained) > 1
            where = (
                f'the config trains on {len(self._trained)} jsons'
                if several
                else f'the training json of the config ({self.train_file or "none"}) is not there'
            )
            raise BadInputError(
                f'the checkpoint carries no class statistics, and {where}; expected --train with '
                f'{"one json of all that was trained on" if several else "TRAIN.json"}'
            )
        if carried is not None:
            counts, source = carried, 'the checkpoint'
        else:
            counts, source = self._counted, self._train.source
        if counts.num_classes != len(self.classes):
            raise BadInputError(
                f'{source} has the statistics of {counts.num_classes} classes, the held-out data '
                f'set has {len(self.classes)}'
            )
        values = counts.image_count, counts.instance_count, counts.num_images
        frequency = ClassFrequency(*values, class_names=self.classes)
        if self._train is not None and carried is not None:
            difference = frequency.difference(self._counted)
            if difference is not None:
                warnings.warn(
                    f'the statistics of the checkpoint are not those of {self._train.source}: '
                    f'{difference}; those of the checkpoint are used',
                    DataWarning,
                    stacklevel=2,
                )
        self.truth.set_groups(frequency, self._bounds)
        return frequency

    def dimension(self) -> np.ndarray | None:
        """(C,) box-counting dimensions of the training set, for FRACAL; None without its json."""
        if self._train is None:
            return None
        dataset = DATASETS.build(
            dict(
                type='LongTailLVISDataset',
                ann_file=str(self.train_file),
                metainfo=dict(classes=self.classes),
                test_mode=True,
                check_images=False,
                cache=False,
            )
        )
        return box_dimension_of(dataset)

    @cached_property
    def _train(self) -> AnnotationColumns | None:
        if self.train_file is None or not osp.isfile(self.train_file):
            return None
        return load_columns(self.train_file, make_cache=False)

    @cached_property
    def _counted(self) -> ClassFrequency:
        """Statistics of the training json, of the classes of the data set."""
        counts = ClassFrequency.from_columns(self._train)
        number = {name: n for n, name in enumerate(counts.class_names)}
        missing = [name for name in self.classes if name not in number]
        if missing:
            raise BadInputError(
                f'{self._train.source} has no category {missing[0]!r} '
                f'({len(missing)} of {len(self.classes)} classes of the data set are missing)'
            )
        rows = [number[name] for name in self.classes]
        return ClassFrequency(
            counts.image_count[rows], counts.instance_count[rows], counts.num_images, self.classes
        )

    def _guard(
        self,
        cfg: Config,
        columns: AnnotationColumns,
        test: ConfigDict,
        images: str | os.PathLike | None,
        given: bool,
    ) -> None:
        mine = _paths(columns, images if images is not None else image_folder(test))
        trained = plain_datasets(cfg, 'train_dataloader')
        for part in trained if len(trained) > 1 and not given else ():
            path = annotation_file(part)
            if osp.isfile(path):
                other = load_columns(path, make_cache=False)
                _refuse_shared(columns, mine, other, image_folder(part), 'trained on')
        absent = [path for path in self._trained if not osp.isfile(path)]
        if self._train is not None:
            config = trained[0] if trained else test
            _refuse_shared(columns, mine, self._train, image_folder(config), 'trained on')
        elif absent or not trained:
            which = ', '.join(absent) or 'the'
            warnings.warn(
                f'whether held-out images were trained on is not known: {which} training json of '
                'the config is not there; --train says where it is',
                DataWarning,
                stacklevel=4,
            )
        tested = annotation_file(plain_dataset(cfg, 'test_dataloader'))
        if tested is None or not osp.isfile(tested):
            return
        if osp.samefile(tested, self.held_out):
            warnings.warn(
                f'{self.held_out} is the json that the config tests on: what is measured on it '
                'from now on is no test of the choice; the cross-fitted gain is',
                DataWarning,
                stacklevel=4,
            )
        else:
            other = load_columns(tested, make_cache=False)
            _refuse_shared(columns, mine, other, image_folder(test), 'tested on by the config')


def _file(path: str | os.PathLike, option: str) -> str:
    if not osp.isfile(path):
        raise MissingFileError(f'{option} {path} does not exist')
    return str(path)


def _paths(columns: AnnotationColumns, folder: str | os.PathLike) -> list[str]:
    return [osp.realpath(path) for path in find_images(columns, str(folder))]


def _refuse_shared(
    mine: AnnotationColumns, paths: list[str], other: AnnotationColumns, folder: str, what: str
) -> None:
    """Refuse images that are another file's too: the same path, or the same id, name and bytes.

    Splits that are numbered alike (``train/1.jpg`` with id 1, ``val/1.jpg`` with id 1) are told
    apart by the content of the images. Where an image is not there, id and name decide.
    """
    theirs = dict(zip(other.arrays['image_id'].tolist(), _paths(other, folder), strict=True))
    known = set(theirs.values())
    shared = []
    for image_id, path in zip(mine.arrays['image_id'].tolist(), paths, strict=True):
        if path in known or _same_image(path, theirs.get(image_id)):
            shared.append(image_id)
    if shared:
        raise BadInputError(
            f'{mine.source}: {len(shared)} of {len(paths)} held-out images are in {other.source} '
            f'too, the first has id {shared[0]}; expected images that are not {what}'
        )


def _same_image(path: str, other: str | None) -> bool:
    if other is None or osp.basename(path) != osp.basename(other):
        return False
    if not (osp.isfile(path) and osp.isfile(other)):
        return True
    return filecmp.cmp(path, other, shallow=False)
