"""NUS-WIDE and VireoFood-172 as published, turned into lists with words; long-tailed subsets.

Shapes: N images of a split, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInputError, MissingFileError
from ..formats.text_file import read_text
from ..formats.word_file import write_word_file
from .imbalance import long_tail_counts, long_tail_subset


@dataclass(frozen=True)
class Split:
    """Images of a split.

    Attributes:
        paths: N paths below the root of the data set.
        labels: (N,) int64.
        words: The words of each image.
    """

    paths: list[str]
    labels: np.ndarray
    words: list[list[str]]

    def subset(self, chosen: np.ndarray) -> Split:
        """The images of some indices."""
        paths, words = ([column[i] for i in chosen] for column in (self.paths, self.words))
        return Split(paths, self.labels[chosen], words)


@dataclass(frozen=True)
class CrossModalSource:
    """A data set: ``splits`` by name, C ``classes``, and the words that it may use."""

    splits: dict[str, Split]
    classes: list[str]
    vocabulary: list[str]


def read_vireofood172(root: str | Path) -> CrossModalSource:
    """VireoFood-172 (Chen and Ngo, ACM Multimedia 2016) from its folder ``SplitAndIngreLabel``.

    ``TR.txt``, ``VAL.txt`` and ``TE.txt`` list "/CLASS/NAME.jpg" below ``ready_chinese_food``, with
    classes from 1 named in ``FoodList.txt``. ``IngreLabel.txt`` has a line "path value ..." per
    image, with a value for each line of ``IngredientList.txt``: 1 where the ingredient is to be
    seen. Those are the words.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: A line has another number of values, or a class that has no name.
    """
    folder = Path(root) / 'SplitAndIngreLabel'
    classes = [name for name in _lines(folder / 'FoodList.txt') if name]
    names = [name for name in _lines(folder / 'IngredientList.txt') if name]
    ingredients: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(folder / 'IngreLabel.txt'), 1):
        path, *values = line.split()
        if len(values) != len(names):
            raise BadInputError(
                f'{folder / "IngreLabel.txt"}:{number} has {len(values)} values, expected one for '
                f'each of the {len(names)} ingredients'
            )
        ingredients[path] = [name for name, value in zip(names, values) if value == '1']
    splits = {}
    for split, file in dict(train='TR', val='VAL', test='TE').items():
        images = [line for line in _lines(folder / f'{file}.txt') if line]
        try:
            labels = np.array([int(image.split('/')[-2]) - 1 for image in images], np.int64)
        except (IndexError, ValueError):
            raise BadInputError(f'{folder / file}.txt: expected lines "/CLASS/NAME.jpg"') from None
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise BadInputError(
                f'{folder / file}.txt has classes {labels.min() + 1}..{labels.max() + 1}, '
                f'FoodList.txt names {len(classes)}'
            )
        paths = [f'ready_chinese_food{image}' for image in images]
        splits[split] = Split(paths, labels, [ingredients.get(image, []) for image in images])
    return CrossModalSource(splits, classes, list(dict.fromkeys(names)))


def read_nus_wide(root: str | Path, fewest: int = 5) -> CrossModalSource:
    """A single-label subset of NUS-WIDE (Chua et al., CIVR 2009), long-tailed by nature.

    The rule is ours, since the one of the paper is not public: images of the published training
    and test lists that have exactly one of the 81 concepts, and the concepts that ``fewest`` or
    more such images have in either list. Words are the tags of an image (``All_Tags.txt``) that are
    among the 1000 frequent ones (``TagList1k.txt``).

    Args:
        root: Has the folders ``ImageList``, ``ConceptsList``, ``Groundtruth/TrainTestLabels``,
            ``NUS_WID_Tags`` and ``Flickr`` (the images).
        fewest: Least images of a concept in training and in test.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: Files that belong together do not fit, or no concept is left.
    """
    root = Path(root)
    concepts = [name for name in _lines(root / 'ConceptsList/Concepts81.txt') if name]
    vocabulary = [word for word in _lines(root / 'NUS_WID_Tags/TagList1k.txt') if word]
    tags = dict(_tags(root, set(vocabulary)))
    single_label: dict[str, tuple[list[str], np.ndarray]] = {}
    for split, name in dict(train='Train', test='Test').items():
        images = _nus_images(root / f'ImageList/{name}Imagelist.txt')
        columns = []
        for concept in concepts:
            file = root / f'Groundtruth/TrainTestLabels/Labels_{concept}_{name}.txt'
            column = np.array([line == '1' for line in _lines(file)])
            if len(column) != len(images):
                raise BadInputError(
                    f'{file} has {len(column)} lines, {name}Imagelist.txt has {len(images)}'
                )
            columns.append(column)
        has = np.stack(columns, 1)
        single = np.flatnonzero(has.sum(1) == 1)
        labels = has[single].argmax(1)
        single_label[split] = [images[i] for i in single], labels
    counts = [np.bincount(labels, minlength=len(concepts)) for _, labels in single_label.values()]
    kept = np.flatnonzero(np.minimum(*counts) >= fewest)
    if not len(kept):
        raise BadInputError(f'{root}: no concept has {fewest} images with it alone')
    new = np.full(len(concepts), -1)
    new[kept] = np.arange(len(kept))
    splits = {}
    for split, (images, labels) in single_label.items():
        every = Split(
            [f'Flickr/{name}' for name in images], new[labels], [tags.get(n, []) for n in images]
        )
        splits[split] = every.subset(np.flatnonzero(every.labels >= 0))
    return CrossModalSource(splits, [concepts[i] for i in kept], vocabulary)


SOURCES = dict(nus_wide=read_nus_wide, vireofood172=read_vireofood172)


def long_tailed(split: Split, factor: float, seed: int = 0, shape: str = 'exp') -> Split:
    """A subset whose class counts fall by an imbalance factor.

    Classes are ranked by their images, the most first (ties by label). The class of rank i keeps
    ``long_tail_counts(...)[i]`` of them, from the count of the first down by ``factor``, or all if
    it has fewer; which ones is drawn from the seed, without replacement.

    Args:
        split: Of C classes, each with an image.
        factor: Count of the first class over that of the last, >= 1.
        seed: Of the draw.
        shape: ``'exp'`` or ``'step'``.
    """
    present = np.bincount(split.labels)
    order = np.argsort(-present, kind='stable')
    wanted = long_tail_counts(int(present.max()), len(present), factor, shape)
    counts = present.copy()
    counts[order] = np.minimum(present[order], np.maximum(wanted, 1))
    return split.subset(long_tail_subset(split.labels, counts, seed))


def write_lists(source: CrossModalSource, folder: str | Path) -> None:
    """Write ``{split}.txt``, ``{split}_words.txt``, ``classes.txt`` and ``words.txt``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in source.splits.items():
        lines = [f'{p} {label}\n' for p, label in zip(split.paths, split.labels.tolist())]
        (folder / f'{name}.txt').write_text(''.join(lines), encoding='utf-8')
        write_word_file(folder / f'{name}_words.txt', zip(split.paths, split.words))
    for name, words in (('classes', source.classes), ('words', source.vocabulary)):
        (folder / f'{name}.txt').write_text(''.join(f'{w}\n' for w in words), encoding='utf-8')


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingFileError(f'{path} does not exist')
    return [line.strip() for line in read_text(path, errors='replace').splitlines()]


def _nus_images(path: Path) -> list[str]:
    """Paths of a list, which is written with the separators of Windows."""
    return [line.replace('\\', '/') for line in _lines(path) if line]


def _tags(root: Path, wanted: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Path and wanted tags of every image; a line of All_Tags.txt begins with the photo's id."""
    path = root / 'NUS_WID_Tags/All_Tags.txt'
    images, lines = _nus_images(root / 'ImageList/Imagelist.txt'), _lines(path)
    if len(images) != len(lines):
        raise BadInputError(f'{path} has {len(lines)} lines, Imagelist.txt has {len(images)}')
    for number, (image, line) in enumerate(zip(images, lines), 1):
        photo, *tags = line.split() or ['']
        if Path(image).stem.rpartition('_')[2] != photo:
            raise BadInputError(f'{path}:{number} is of photo {photo}, Imagelist.txt has {image}')
        yield image, list(dict.fromkeys(tag for tag in tags if tag in wanted))
