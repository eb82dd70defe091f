"""Which objects, negatives and background every image gets, before anything is rendered.

Shape legend: C categories (0-based here, id = index + 1 in the json), I images of a split.
"""

from dataclasses import dataclass

import numpy as np

from lt_det.errors import BadInputError

from .fonts import glyph_name
from .recipe import SPLITS, GlyphRecipe

# Names of the background patterns; the most frequent categories own the first ones.
BACKGROUNDS = ('stripes', 'checks', 'dots', 'rings', 'waves', 'plain')
_STREAMS = {'plan': 0, 'image': 1}


@dataclass(frozen=True)
class ImagePlan:
    """What one image shows.

    Attributes:
        split: 'train' or 'val'.
        index: 0-based position in the split.
        image_id: Id in the json, distinct over both splits.
        classes: Category index of each object, bottom to top.
        negatives: Category indices listed as verified absent, ascending.
        partial: Category index of which one object stays without annotation, or None.
        background: A name of ``BACKGROUNDS``.
    """

    split: str
    index: int
    image_id: int
    classes: tuple[int, ...]
    negatives: tuple[int, ...]
    partial: int | None
    background: str

    @property
    def path(self) -> str:
        """Path of the image below the root of the data set."""
        return f'{self.split}/{self.image_id:012d}.png'


@dataclass(frozen=True)
class GlyphPlan:
    """The whole data set: ``glyphs`` and planned ``train_counts`` by category, and its images."""

    recipe: GlyphRecipe
    glyphs: tuple[str, ...]
    train_counts: tuple[int, ...]
    images: tuple[ImagePlan, ...]


def generator(recipe: GlyphRecipe, stream: str, split: str, index: int = 0) -> np.random.Generator:
    """The random generator of one image, or of the plan of one split."""
    key = [recipe.seed, _STREAMS[stream], SPLITS.index(split), index]
    return np.random.default_rng(np.random.SeedSequence(key))


def plan_dataset(recipe: GlyphRecipe) -> GlyphPlan:
    """Draw the content of every image of a recipe.

    Categories are sorted by name, and counts are dealt to them at random: the order of the
    ids says nothing about frequency.
    """
    glyphs = tuple(sorted(recipe.glyphs, key=glyph_name))
    rng = generator(recipe, 'plan', 'train')
    train_counts = rng.permutation(recipe.train_counts)
    heads = np.argsort(-train_counts, kind='stable')[: recipe.cue_classes]
    images = _plan_split(recipe, 'train', train_counts, heads, rng)
    val_counts = np.full(recipe.num_classes, recipe.val_count)
    images += _plan_split(recipe, 'val', val_counts, heads, generator(recipe, 'plan', 'val'))
    return GlyphPlan(recipe, glyphs, tuple(int(n) for n in train_counts), tuple(images))


def _plan_split(
    recipe: GlyphRecipe, split: str, counts: np.ndarray, heads: np.ndarray, rng: np.random.Generator
) -> list[ImagePlan]:
    num_images = recipe.num_images(split)
    first_id = 1 if split == 'train' else recipe.train_images + 1
    present = deal_categories(counts, num_images, recipe.objects[1], rng)  # (I, C)
    negative = deal_negatives(present, recipe.negatives[SPLITS.index(split)], rng)  # (I, C)
    plans = []
    for index in range(num_images):
        classes = _add_repeats(np.flatnonzero(present[index]), recipe.objects, rng)
        strength = recipe.cue_strength if split == 'train' else 0.0
        plans.append(
            ImagePlan(
                split=split,
                index=index,
                image_id=first_id + index,
                classes=tuple(int(c) for c in rng.permutation(classes)),
                negatives=tuple(int(c) for c in np.flatnonzero(negative[index])),
                partial=_pick_partial(classes, recipe.not_exhaustive, rng),
                background=_pick_background(classes, heads, strength, rng),
            )
        )
    return plans


def deal_categories(
    counts: np.ndarray, num_images: int, max_objects: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose the images of each category, keeping the number of categories an image even.

    Args:
        counts: Images wanted for each category, (C,).
        num_images: I.
        max_objects: Largest number of categories in one image.
        rng: Random generator.

    Returns:
        Boolean (I, C) whose column sums are ``counts``.

    Raises:
        BadInputError: If the images have too little room.
    """
    present = np.zeros((num_images, len(counts)), dtype=bool)
    for category in np.argsort(-counts, kind='stable'):
        load = present.sum(axis=1)
        # The noise spreads the loads; the order stays "emptier images first".
        order = np.argsort(load + rng.uniform(0, 2, num_images))
        room = order[load[order] < max_objects][: counts[category]]
        if len(room) < counts[category]:
            raise BadInputError(
                f'{num_images} images with at most {max_objects} objects cannot hold '
                f'{int(counts.sum())} category occurrences'
            )
        present[room, category] = True
    return present


def deal_negatives(present: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Choose up to ``wanted`` images without it for each category: boolean, (I, C)."""
    negative = np.zeros_like(present)
    for category in range(present.shape[1]):
        absent = np.flatnonzero(~present[:, category])
        chosen = rng.choice(absent, min(wanted, len(absent)), replace=False)
        negative[chosen, category] = True
    return negative


def _add_repeats(
    classes: np.ndarray, objects: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Add second objects of the categories of an image, within the allowed number of objects."""
    if len(classes) == 0:
        return classes
    low, high = objects
    repeats = max(low - len(classes), int(rng.binomial(2, 0.3)))
    repeats = min(repeats, high - len(classes))
    return np.concatenate([classes, rng.choice(classes, repeats)])


def _pick_partial(classes: np.ndarray, probability: float, rng: np.random.Generator) -> int | None:
    values, number = np.unique(classes, return_counts=True)
    repeated = values[number > 1]
    if len(repeated) == 0 or rng.random() >= probability:
        return None
    return int(rng.choice(repeated))


def _pick_background(
    classes: np.ndarray, heads: np.ndarray, strength: float, rng: np.random.Generator
) -> str:
    """The pattern of a head category in the image with probability ``strength``, else any."""
    owners = [i for i, head in enumerate(heads) if head in classes]
    if owners and rng.random() < strength:
        return BACKGROUNDS[int(rng.choice(owners)) % len(BACKGROUNDS)]
    return BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
