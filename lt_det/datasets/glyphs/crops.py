"""Glyphs for classification: one glyph per image, long-tailed, with lists as ImageNet-LT has them.

An image is a glyphs image with a single object, so the renderer is the same. The most frequent
classes own a background pattern each (as in the detection data), validation backgrounds are random.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from lt_det.errors import BadInputError
from lt_det.formats.word_file import write_word_file

from .fonts import fonts_with, glyph_name, outline
from .plan import BACKGROUNDS, GlyphPlan, ImagePlan, generator
from .recipe import SPLITS, TINY_GLYPHS, GlyphRecipe, exponential_counts
from .render import render_image
from .words import DescribedRecipe, describe, vocabulary
from .writer import GlyphFolderError

CROP_GLYPHS = (
    'ABCDEFGHJKLMNPQRSTUVWXYZ23456789abdefghkmnqrt'
    'ΓΔΘΞΠΣΦΨΩαβγδεζηθλμξπφψω'
    'БДЖЗИЦЧШЪЫЭЮЯ&€£¥§@#%?★♥✈☂♞♠☎⚓✿'
)
# names say what is to be seen: the letter, and the mark above or below it
MARKED_LETTERS = 'áâäȧạéêëėẹóôöȯọúûüůụýŷÿẏỵńñňṅṇśŝšṡṣźẑžżẓ'


def _crop_recipe(
    size: str, glyphs: str, most: int, fewest: int, val: int, side: int, kind=GlyphRecipe
) -> GlyphRecipe:
    counts = exponential_counts(len(glyphs), most, fewest)
    return kind(
        size=size,
        glyphs=glyphs,
        train_counts=counts,
        train_images=sum(counts),
        val_images=val * len(glyphs),
        val_count=val,
        negatives=(0, 0),
        side=side,
        objects=(1, 1),
        object_size=(round(0.6 * side), round(0.95 * side)),
        cue_classes=max(2, len(glyphs) // 10),
    )


CROP_SIZES: dict[str, GlyphRecipe] = {
    'crops_tiny': _crop_recipe('crops_tiny', TINY_GLYPHS, 120, 2, val=4, side=32),
    'crops': _crop_recipe('crops', CROP_GLYPHS, 200, 2, val=20, side=32),
    'crops_captions': _crop_recipe('crops_captions', CROP_GLYPHS, 24, 24, val=4, side=32),
    'crops_words_tiny': _crop_recipe(
        'crops_words_tiny', 'áâäéêëóôö', 30, 2, val=4, side=32, kind=DescribedRecipe
    ),
    'crops_words': _crop_recipe(
        'crops_words', MARKED_LETTERS, 200, 2, val=20, side=40, kind=DescribedRecipe
    ),
}


def get_crop_recipe(size: str | GlyphRecipe, seed: int = 0) -> GlyphRecipe:
    """A preset with its seed, or a recipe as it is.

    Raises:
        BadInputError: There is no such preset.
    """
    if isinstance(size, GlyphRecipe):
        return size
    if size not in CROP_SIZES:
        raise BadInputError(f'size must be one of {sorted(CROP_SIZES)}, got {size!r}')
    return replace(CROP_SIZES[size], seed=seed)


def plan_crops(recipe: GlyphRecipe) -> GlyphPlan:
    """Class and background of every image; classes are sorted by name, counts dealt at random."""
    glyphs = tuple(sorted(recipe.glyphs, key=glyph_name))
    rng = generator(recipe, 'plan', 'train')
    counts = rng.permutation(recipe.train_counts)
    heads = np.argsort(-counts, kind='stable')[: recipe.cue_classes].tolist()
    images: list[ImagePlan] = []
    for split in SPLITS:
        per_class = counts if split == 'train' else np.full(len(glyphs), recipe.val_count)
        for index, label in enumerate(np.repeat(np.arange(len(glyphs)), per_class).tolist()):
            background = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
            if split == 'train' and label in heads and rng.random() < recipe.cue_strength:
                background = BACKGROUNDS[heads.index(label) % len(BACKGROUNDS)]
            images.append(ImagePlan(split, index, index + 1, (label,), (), None, background))
    return GlyphPlan(recipe, glyphs, tuple(map(int, counts)), tuple(images))


def make_crops(
    root: str | os.PathLike,
    size: str | GlyphRecipe = 'crops',
    seed: int = 0,
    progress: bool = True,
    overwrite: bool = False,
    workers: int | None = None,
) -> Path:
    """Render crops: ``{train,val}/*.png``, ``{train,val}.txt``, ``classes.txt``, ``crops.json``.

    Lists have a line "train/000000000001.png label" per image. ``crops.json`` is written last and
    marks the folder as complete; a complete folder of the same recipe is reused. Sizes with words
    also get ``words.txt``, the vocabulary, and ``{train,val}_words.txt``.

    Args:
        root: Folder of the data set.
        size: A key of ``CROP_SIZES``, or a recipe (then ``seed`` is not read).
        seed: Seed of the preset.
        progress: Show a progress bar on a terminal.
        overwrite: Replace what an earlier run wrote.
        workers: Rendering threads; does not change the result.

    Raises:
        BadInputError: There is no such preset.
        GlyphFolderError: The folder holds something else.
    """
    root = Path(root)
    recipe = get_crop_recipe(size, seed)
    mark, content = root / 'crops.json', json.dumps(recipe.to_dict(), indent=1) + '\n'
    if not overwrite and root.exists() and any(root.iterdir()):
        if mark.is_file() and mark.read_text(encoding='utf-8') == content:
            return root
        raise GlyphFolderError(
            f'{root} holds no complete crops of size {recipe.size!r} with seed {recipe.seed}: '
            'choose another folder, or replace what an earlier run wrote with --overwrite'
        )
    mark.unlink(missing_ok=True)
    plan = plan_crops(recipe)
    for split in SPLITS:
        (root / split).mkdir(parents=True, exist_ok=True)
        for path in (root / split).glob('[0-9]' * 12 + '.png'):
            path.unlink()
    described = _render(root, plan, progress, workers)
    for split in SPLITS:
        lines = [f'{i.path} {i.classes[0]}\n' for i in plan.images if i.split == split]
        (root / f'{split}.txt').write_text(''.join(lines))
    (root / 'classes.txt').write_text(''.join(f'{glyph_name(char)}\n' for char in plan.glyphs))
    if isinstance(recipe, DescribedRecipe):
        for split in SPLITS:
            rows = [row for row in described if row[0].startswith(f'{split}/')]
            write_word_file(root / f'{split}_words.txt', rows)
        (root / 'words.txt').write_text(''.join(f'{word}\n' for word in vocabulary(plan.glyphs)))
    mark.write_text(content, encoding='utf-8')
    return root


def _render(
    root: Path, plan: GlyphPlan, progress: bool, workers: int | None
) -> list[tuple[str, list[str]]]:
    """Render and save every image; its path and words."""
    for char in plan.glyphs:  # the font library is not thread-safe: fill its cache first
        for font in fonts_with(char):
            outline(char, font)

    def render(image: ImagePlan) -> tuple[str, list[str]]:
        pixels, placed = render_image(plan, image)
        if not placed:
            raise BadInputError(f'{plan.glyphs[image.classes[0]]!r} is too small for a crop')
        if not cv2.imwrite(str(root / image.path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise OSError(f'cannot write {root / image.path}')
        return image.path, describe(plan.glyphs[image.classes[0]], placed[0], plan.recipe)

    with ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1)) as pool:
        done = pool.map(render, plan.images)
        disable = None if progress else True
        return list(tqdm(done, 'crops', len(plan.images), unit='img', disable=disable))
