"""What a glyphs data set consists of: everything that decides its bytes, and the presets."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from lt_det.errors import BadInputError

# Raise it whenever the same recipe would render other bytes.
GENERATOR_VERSION = 1
SPLITS = ('train', 'val')

TINY_GLYPHS = '&€Ω★♥✈☂♞'
BENCH_GLYPHS = TINY_GLYPHS + '4?@RΨЖλ♠☎⚓✿♪2357AEGHKMQWÆßÞΔΘΞΣΦБДЮЯ¶§#%☀☃☠☮☯♣♦♫✂✏⚖❄'
# none of them is in another data set: what a detector learns from before it sees one
OTHER_GLYPHS = 'BCDFJLNPSTUVXYZ0689abdefghkmnqrtyαβγδζθξπφψωбджзцшэ∀∂∇∑√∞∫♀♂'


@dataclass(frozen=True)
class GlyphRecipe:
    """Everything that decides the bytes of a glyphs data set.

    Attributes:
        size: Name of the preset.
        glyphs: One character per category; all must be in DejaVu Sans.
        train_counts: Training images that contain a category, largest first, one a category.
            Which category gets which count is drawn from the seed.
        train_images: Number of training images.
        val_images: Number of validation images.
        val_count: Validation images that contain a category, the same for every category.
        negatives: Images of (train, val) that list a category as verified absent.
        side: Side of the square images in pixels.
        objects: Smallest and largest number of objects in an image.
        object_size: Smallest and largest longest side of a glyph in pixels.
        cue_classes: The most frequent categories that own a background pattern each.
        cue_strength: Probability that a training image shows the pattern of a head category
            it contains. Validation backgrounds are independent of the content.
        not_exhaustive: Probability that one of several objects of a category in an image is
            left without annotation, and the category listed as not exhaustive.
        min_visible: Share of an object's silhouette that occlusion must leave visible.
        seed: Seed of everything drawn.
        version: Version of the generator.
    """

    size: str
    glyphs: str
    train_counts: tuple[int, ...]
    train_images: int
    val_images: int
    val_count: int
    negatives: tuple[int, int]
    side: int
    objects: tuple[int, int]
    object_size: tuple[int, int]
    cue_classes: int
    cue_strength: float = 0.8
    not_exhaustive: float = 0.15
    min_visible: float = 0.7
    seed: int = 0
    version: int = GENERATOR_VERSION

    def __post_init__(self) -> None:
        if len(set(self.glyphs)) != len(self.glyphs) or len(self.glyphs) != len(self.train_counts):
            raise BadInputError(
                f'glyphs and train_counts need one entry per category: got {len(self.glyphs)} '
                f'glyphs ({len(set(self.glyphs))} distinct) and {len(self.train_counts)} counts'
            )
        if max(self.train_counts) > self.train_images or min(self.train_counts) < 1:
            raise BadInputError(
                f'train_counts must lie in 1..train_images = {self.train_images}, '
                f'got {min(self.train_counts)}..{max(self.train_counts)}'
            )
        if not 1 <= self.val_count <= self.val_images:
            raise BadInputError(f'val_count must lie in 1..{self.val_images}, got {self.val_count}')
        if self.seed < 0:
            raise BadInputError(f'seed must not be negative, got {self.seed}')

    @property
    def num_classes(self) -> int:
        """Number of categories."""
        return len(self.glyphs)

    def num_images(self, split: str) -> int:
        """Number of images of ``split`` ('train' or 'val')."""
        return self.train_images if split == 'train' else self.val_images

    def to_dict(self) -> dict:
        """The recipe as JSON has it: tuples become lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def exponential_counts(num_classes: int, most: int, fewest: int) -> tuple[int, ...]:
    """Counts that fall geometrically from ``most`` to ``fewest``, largest first."""
    counts = np.geomspace(most, fewest, num_classes)
    return tuple(int(n) for n in np.rint(counts))


# 8 rare, 15 common and 7 frequent categories, in images that CPUs train on in minutes
_SMALL = dict(
    glyphs=BENCH_GLYPHS[:30],
    train_counts=exponential_counts(30, 300, 3),
    train_images=600,
    negatives=(60, 40),
    side=128,
    objects=(2, 5),
    object_size=(20, 56),
    cue_classes=3,
)
SIZES: dict[str, GlyphRecipe] = {
    'tiny': GlyphRecipe(
        size='tiny',
        glyphs=TINY_GLYPHS,
        train_counts=exponential_counts(8, 108, 4),
        train_images=120,
        val_images=24,
        val_count=8,
        negatives=(12, 8),
        side=96,
        objects=(2, 4),
        object_size=(20, 68),
        cue_classes=2,
    ),
    'demo': GlyphRecipe(size='demo', val_images=400, val_count=40, **_SMALL),
    # the training images of the demo, half of its validation images
    'small': GlyphRecipe(size='small', val_images=200, val_count=20, **_SMALL),
    # balanced, of other glyphs
    'pretrain': GlyphRecipe(
        size='pretrain',
        glyphs=OTHER_GLYPHS,
        train_counts=(60,) * len(OTHER_GLYPHS),
        train_images=1200,
        val_images=100,
        val_count=5,
        negatives=(0, 0),
        side=128,
        objects=(2, 5),
        object_size=(20, 56),
        cue_classes=0,
    ),
    # 14 rare, 26 common and 20 frequent categories, in the sense of LVIS
    'bench': GlyphRecipe(
        size='bench',
        glyphs=BENCH_GLYPHS,
        train_counts=exponential_counts(60, 600, 3),
        train_images=1600,
        val_images=500,
        val_count=30,
        negatives=(160, 100),
        side=224,
        objects=(2, 6),
        object_size=(24, 112),
        cue_classes=5,
    ),
}


def get_recipe(size: str | GlyphRecipe, seed: int = 0) -> GlyphRecipe:
    """Look a preset up, with its seed set.

    Args:
        size: A key of ``SIZES``, or a recipe, which is returned as it is.
        seed: Seed for the preset.

    Raises:
        BadInputError: If there is no such preset, or the seed is negative.
    """
    if isinstance(size, GlyphRecipe):
        return size
    if size not in SIZES:
        raise BadInputError(f'size must be one of {sorted(SIZES)}, got {size!r}')
    return replace(SIZES[size], seed=seed)
