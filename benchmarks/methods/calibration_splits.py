"""Choices on random halves of the validation images, scored on the others, for ``calibration.py``.

The detections of every setting are kept from one sweep, so that they can be scored against other
annotations too. Two controls have nothing to choose: annotations of image i are moved to image
p(i), a permutation; or on each image the settings exchange their detections at random.
"""

from __future__ import annotations

import shutil
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from mmengine.config import Config

from lt_det.calibration import detect
from lt_det.calibration.choice import read_choice
from lt_det.calibration.detector_data import DetectorData
from lt_det.calibration.precisions import (
    AveragePrecisions,
    rarest_class,
    scored_images,
)
from lt_det.calibration.select import halves, select
from lt_det.calibration.settings import Setting, default_settings
from lt_det.calibration.spool import to_rows
from lt_det.calibration.sweep import Sweep
from lt_det.evaluation.detections import Detections
from lt_det.evaluation.diagnosis.comparison import THRESHOLDS, means_of_known
from lt_det.evaluation.diagnosis.matches import match, metric_groups
from lt_det.evaluation.predictions import read_instances

# by what is to rise: what may fall by how much
OBJECTIVES = {'AP': {'APf': 0.005}, 'APr': {'AP': 0.0}}


class KeepingSweep(Sweep):
    """A sweep that keeps what each setting detects on each image."""

    def __init__(self, kept: dict[int, list[Detections]], *args) -> None:
        super().__init__(*args)
        self.kept = kept

    def _read(self, sample) -> Detections:
        truth = self.data.truth
        image = int(truth.find_images(np.array([sample.img_id]))[0])
        found = read_instances(sample.pred_instances, image, self.data.categories, truth, False)
        self.kept.setdefault(image, []).append(found)
        return super()._read(sample)


class Rows:
    """Matched detections in memory, where ``AveragePrecisions`` has a spool."""

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.rows = rows.__getitem__


def sweep(cfg: Config, checkpoint: Path, held_out: Path, folder: Path) -> None:
    """Calibrate on all images; detections of all settings go to ``folder/detections.npz``."""
    if (folder / 'detections.npz').is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    kept: dict[int, list[Detections]] = {}
    data = DetectorData(cfg, held_out)
    with mock.patch.object(detect, 'Sweep', partial(KeepingSweep, kept)):
        options = detect.Options(check_masks=False)
        detect.calibrate_detector(cfg, checkpoint, data, folder, options, progress=False)
    parts = [(number, part) for of_image in kept.values() for number, part in enumerate(of_image)]
    whole = Detections.concatenate([part for _, part in parts])
    number = np.repeat([number for number, _ in parts], [len(part) for _, part in parts])
    columns = dict(image=whole.image, category=whole.category, score=whole.score, boxes=whole.boxes)
    np.savez_compressed(folder / 'part.npz', number=number, **columns)
    (folder / 'part.npz').rename(folder / 'detections.npz')


class Images:
    """Annotated images and what each setting detects on them.

    Args:
        cfg: Config of the detector.
        held_out: Annotations.
        folder: Of a sweep.
    """

    def __init__(self, cfg: Config, held_out: Path, folder: Path) -> None:
        data = DetectorData(cfg, held_out)
        frequency = data.frequency(None)
        truth = data.truth
        used = np.isin(np.arange(truth.num_categories), data.categories)
        self.truth, self.images = truth, scored_images(data)
        self.groups = metric_groups(truth, used)
        self.strata = rarest_class(truth, frequency, data.categories)
        names = read_choice(folder / 'choice.json').selection['settings']
        settings = {setting.name: setting for setting in default_settings('softmax', True)}
        self.settings: list[Setting] = [settings[name] for name in names]
        with np.load(folder / 'detections.npz') as columns:
            order = np.argsort(columns['number'], kind='stable')
            ends = np.searchsorted(columns['number'][order], np.arange(1, len(names)))
            names = ('image', 'category', 'score', 'boxes')
            whole = Detections(*(columns[name][order] for name in names))
        self.detections = [whole.take(part) for part in np.split(np.arange(len(whole)), ends)]

    def precisions(self, place: np.ndarray | None = None) -> AveragePrecisions:
        """AP under each setting.

        Args:
            place: (I,) the image whose annotations the detections of image i are scored against;
                None: its own.
        """
        rows = []
        for found in self.detections:
            image = found.image if place is None else place[found.image]
            moved = Detections(image, found.category, found.score, found.boxes)
            matches = match(self.truth, moved, 'bbox', None, THRESHOLDS, self.images)
            rows.append(to_rows(matches))
        return AveragePrecisions(self.truth, Rows(rows), self.images)

    def permuted(self, seed: int) -> np.ndarray:
        """(I,) images in another order."""
        numbers = np.flatnonzero(self.images)
        place = np.arange(len(self.images))
        place[numbers] = np.random.default_rng(seed).permutation(numbers)
        return place


def exchanged(images: Images, own: AveragePrecisions, seed: int) -> AveragePrecisions:
    """AP where on each image the settings have each other's detections, in an order of its own.

    No setting is better than another then, at about the AP of the detector.
    """
    rows = [own.spool.rows(number) for number in range(len(images.settings))]
    number = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    whole = np.concatenate(rows)
    rng = np.random.default_rng(seed)
    order = rng.random((len(images.images), len(rows))).argsort(axis=1)
    number = order[whole['image'], number]
    by_number = np.argsort(number, kind='stable')
    ends = np.searchsorted(number[by_number], np.arange(1, len(rows)))
    rows = np.split(whole[by_number], ends)
    return AveragePrecisions(images.truth, Rows(rows), images.images)


def choices(images: Images, num_splits: int, control: str | None) -> list[dict]:
    """What is chosen on one half, and what it gives on the other, for each split and objective.

    ``control`` is None, 'annotations' (those of other images) or 'settings' (exchanged).
    """
    found = []
    own = images.precisions()
    for split in range(num_splits):
        held_out, test = halves(images.images, images.strata, seed=1000 + split)
        precisions = own
        if control == 'annotations':
            precisions = images.precisions(images.permuted(seed=split))
        elif control == 'settings':
            precisions = exchanged(images, own, seed=split)
        tested = [metrics_on(images, precisions, n, test) for n in range(len(images.settings))]
        for metric, keep in OBJECTIVES.items():
            found.append(dict(split=split, metric=metric, control=control))
            found[-1].update(_choice(images, precisions, held_out, tested, metric, keep, split))
    return found


def metrics_on(
    images: Images, precisions: AveragePrecisions, number: int, part: np.ndarray
) -> dict[str, float]:
    values = precisions(number, part[None].astype(np.int32))[0]
    groups = images.groups.items()
    return {name: float(means_of_known(values[None, classes])[0]) for name, classes in groups}


def _choice(
    images: Images,
    precisions: AveragePrecisions,
    held_out: np.ndarray,
    tested: list[dict],
    metric: str,
    keep: dict[str, float],
    seed: int,
) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        selection = select(
            images.settings,
            precisions,
            images.groups,
            held_out,
            metric=metric,
            keep=keep,
            seed=seed,
            strata=images.strata,
        )
    best = max(range(len(tested)), key=lambda number: tested[number][metric])
    numbers = dict(
        identity=selection.settings.index('identity'),
        chosen=selection.chosen,
        candidate=selection.candidate,
        oracle=best,
    )
    gain = selection.gains[metric]
    return dict(
        fold=selection.fold,
        reason=selection.reason,
        gain=gain.gain,
        interval=gain.interval,
        settings={name: selection.settings[number] for name, number in numbers.items()},
        test={name: tested[number] for name, number in numbers.items()},
    )
