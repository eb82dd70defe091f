"""Crops whose backgrounds lie about the class: for the comparisons of SMCL and of CAMC's readings.

16 classes of 200 to 8 training images. The six most frequent classes own a background pattern,
which nine in ten of their training images show; all other training images, and all validation
images, have any of the six patterns. The box of the object is about a third of the image.
"""

from __future__ import annotations

from lt_det.datasets.glyphs import GlyphRecipe
from lt_det.datasets.glyphs.crops import CROP_GLYPHS
from lt_det.datasets.glyphs.recipe import exponential_counts

CLASSES = 16
SIDE = 40
CUE_CLASSES = 6
COUNTS = exponential_counts(CLASSES, 200, 8)
RECIPE = GlyphRecipe(
    size='smcl',
    glyphs=CROP_GLYPHS[:CLASSES],
    train_counts=COUNTS,
    train_images=sum(COUNTS),
    val_images=100 * CLASSES,
    val_count=100,
    negatives=(0, 0),
    side=SIDE,
    objects=(1, 1),
    object_size=(20, 26),
    cue_classes=CUE_CLASSES,
    cue_strength=0.9,
)
