"""A long-tailed part of any LVIS or COCO json, to try a method on data that is balanced."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..formats.annotation_cache import load_columns
from ..formats.json_file import read_json
from ..frequency import ClassFrequency
from .imbalance import long_tail_counts
from .json_part import json_part

ORDERS = ('frequency', 'random')


@dataclass
class LongTailSubset:
    """Images of a data set whose classes follow an exponential long tail.

    Attributes:
        images: (K,) kept images, ascending.
        present: (C,) images of each class in the whole.
        wanted: (C,) images asked for; 0 for classes without any.
        achieved: (C,) images of each class among those kept.
    """

    images: np.ndarray
    present: np.ndarray
    wanted: np.ndarray
    achieved: np.ndarray

    @property
    def imbalance(self) -> float:
        """Achieved count of the most frequent class over that of the rarest."""
        kept = self.achieved[self.present > 0]
        return kept.max() / max(kept.min(), 1)


def wanted_counts(
    present: np.ndarray, factor: float, order: str, seed: int, most: int | None = None
) -> np.ndarray:
    """Images of each class, ``most * factor ** (-i / (C' - 1))`` for the class of rank i.

    Args:
        present: (C,) images that there are; the C' classes with some take part.
        factor: Imbalance factor, >= 1.
        order: Ranks by ``'frequency'`` (the most frequent first), or ``'random'`` by the seed.
        seed: Of the order.
        most: Images of the first class. Default: the largest number for which no class is asked for
            more than it has. With a given one, classes that have fewer keep all.

    Returns:
        (C,) int64, at least 1 for every class that takes part.
    """
    if order not in ORDERS:
        raise BadInputError(f"order is '{order}', expected one of {ORDERS}")
    ranked = np.flatnonzero(present)
    if not len(ranked):
        raise BadInputError('no class has an image to choose from')
    if order == 'random':
        ranked = np.random.default_rng([seed, 1]).permutation(ranked)
    else:
        ranked = ranked[np.argsort(-present[ranked], kind='stable')]
    if most is None:
        long_tail_counts(1, 1, factor)  # a wrong factor is refused
        shrink = factor ** (np.arange(len(ranked)) / max(len(ranked) - 1, 1))
        most = int((present[ranked] * shrink).min() + 1e-6)
    elif most < 1:
        raise BadInputError(f'most is {most}, expected a number of images >= 1')
    wanted = np.zeros(len(present), np.int64)
    counts = long_tail_counts(most, len(ranked), factor)
    wanted[ranked] = np.clip(counts, 1, present[ranked])
    return wanted


def choose_images(
    image: np.ndarray,
    label: np.ndarray,
    num_images: int,
    num_classes: int,
    factor: float,
    seed: int = 0,
    order: str = 'frequency',
    most: int | None = None,
) -> LongTailSubset:
    """Which images to keep, whole, so that classes have :func:`wanted_counts`.

    Greedy, from the class that is to be rarest to the most frequent: its images are gone through in
    a random order, and one is kept if none of the classes in it has as many as it wants already. So
    no class gets more than it wants, with one exception: a class that would be left without any
    image keeps the one that takes the fewest classes above what they want. A class gets fewer where
    its images show rarer classes too. Of the images without annotations the same share is kept as
    of the others.

    Args:
        image: (A,) images of the annotations, in 0..N-1.
        label: (A,) their classes, in 0..C-1.
        num_images: N.
        num_classes: C.
        factor, order, most: See :func:`wanted_counts`.
        seed: Of order and choice; the same gives the same images.
    """
    pairs = np.unique(np.asarray(image, np.int64) * num_classes + np.asarray(label, np.int64))
    image, label = np.divmod(pairs, max(num_classes, 1))
    present = np.bincount(label, minlength=num_classes)
    wanted = wanted_counts(present, factor, order, seed, most)
    rng = np.random.default_rng([seed, 0])
    rank = rng.permutation(num_images)
    start = np.searchsorted(image, np.arange(num_images + 1))
    classes = [label[first:last] for first, last in pairwise(start)]
    by_class = np.lexsort([rank[image], label])
    of_class = np.split(image[by_class], np.cumsum(present)[:-1])
    left = wanted.copy()
    kept = np.zeros(num_images, bool)
    for number in np.argsort(wanted, kind='stable'):
        if not wanted[number]:
            continue
        for candidate in of_class[number].tolist():
            if left[number] <= 0:
                break
            if not kept[candidate] and (left[classes[candidate]] > 0).all():
                kept[candidate] = True
                left[classes[candidate]] -= 1
        if left[number] == wanted[number]:
            excess = [(left[classes[candidate]] <= 0).sum() for candidate in of_class[number]]
            chosen = of_class[number][np.argmin(excess)]
            kept[chosen] = True
            left[classes[chosen]] -= 1
    empty = np.flatnonzero(np.diff(start) == 0)
    share = kept.sum() / max(num_images - len(empty), 1)
    kept[empty[np.argsort(rank[empty])][: round(share * len(empty))]] = True
    return LongTailSubset(np.flatnonzero(kept), present, wanted, wanted - left)


def long_tail_file(
    source: str | Path,
    out: str | Path,
    factor: float,
    seed: int = 0,
    order: str = 'frequency',
    most: int | None = None,
) -> tuple[LongTailSubset, ClassFrequency]:
    """Write the long-tailed part of an annotation file; images keep all their annotations.

    Annotations that training does not learn from (crowds, ignored, unusable boxes) stay with their
    images and do not count. Everything else in the file stays, but for the ``image_count``,
    ``instance_count`` and ``frequency`` of categories that have them, which become those of the
    part.

    Args:
        source: LVIS or COCO json.
        out: The new file, which must not exist.
        factor, seed, order, most: See :func:`choose_images`.

    Returns:
        The choice, and the statistics of the new file.

    Raises:
        MissingFileError: ``source`` does not exist.
        BadInputError: ``out`` exists, or an argument or the file is not as expected.
    """
    source, out = Path(source), Path(out)
    if out.exists():
        raise BadInputError(f'{out} exists already; nothing is overwritten')
    if not out.parent.is_dir():
        raise BadInputError(f'the folder {out.parent} of the new file does not exist')
    columns = load_columns(source, make_cache=False)
    columns.require_annotations()
    arrays = columns.arrays
    image, label = columns.learned()
    subset = choose_images(
        image,
        label,
        columns.num_images,
        len(columns.categories),
        factor,
        seed,
        order,
        most,
    )
    kept = np.zeros(columns.num_images, bool)
    kept[subset.images] = True
    inside = kept[image]
    frequency = ClassFrequency.from_pairs(
        image[inside],
        label[inside],
        len(columns.categories),
        len(subset.images),
        columns.category_names,
    )
    ids = set(arrays['image_id'][kept].tolist())
    text = json.dumps(json_part(read_json(source), ids, columns, frequency))
    with out.open('x', encoding='utf-8') as file:
        file.write(text)
    return subset, frequency
