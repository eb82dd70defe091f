"""Writes a glyphs data set, or reuses the one that is already there."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from tqdm import tqdm

from ...errors import BadInputError
from ...formats.files import write_text
from .annotate import annotate_image, make_categories, make_json
from .fonts import fonts_with, outline
from .plan import GlyphPlan, ImagePlan, plan_dataset
from .recipe import SPLITS, GlyphRecipe, get_recipe
from .render import render_image

_IMAGE_NAME = re.compile(r'\d{12}\.png')


class GlyphFolderError(BadInputError, FileExistsError):
    """The folder holds something else than the complete data set that was asked for."""


def make_glyphs(
    root: str | os.PathLike,
    size: str | GlyphRecipe = 'demo',
    seed: int = 0,
    progress: bool = True,
    overwrite: bool = False,
    workers: int | None = None,
) -> Path:
    """Render a glyphs data set, byte for byte the same for the same recipe.

    Writes ``annotations/glyphs_{train,val}.json``, ``{train,val}/*.png`` and, last,
    ``recipe.json``, which marks the folder as complete.

    Args:
        root: Folder of the data set. A complete one of the same recipe is reused.
        size: A key of ``SIZES``, or a recipe (then ``seed`` is not read).
        seed: Seed of the preset.
        progress: Show a progress bar (on a terminal) and print the outcome.
        overwrite: Replace what an earlier run wrote; other files stay.
        workers: Rendering threads; does not change the result. Default: up to 4.

    Returns:
        ``root`` as a path.

    Raises:
        BadInputError: If there is no such size, or the seed or ``workers`` is out of range.
        GlyphFolderError: If the folder is of another recipe, incomplete or not a data set.
    """
    root = Path(root)
    recipe = get_recipe(size, seed)
    if workers is not None and workers < 1:
        raise BadInputError(f'workers must be at least 1, got {workers}')
    if root.exists() and not root.is_dir():
        raise GlyphFolderError(f'{root} is a file, expected a folder: choose another path')
    if not overwrite and _is_complete(root, recipe):
        if progress:
            print(f'{root} already holds this data set ({recipe.size}, seed {recipe.seed}): reused')
        return root
    plan = plan_dataset(recipe)
    _load_outlines(plan)
    if overwrite:
        _remove_own_files(root)
    for split in SPLITS:
        (root / split).mkdir(parents=True, exist_ok=True)
    entries = _render_all(root, plan, workers, progress)
    _write_annotations(root, plan, entries)
    content = {'recipe': recipe.to_dict(), **_fingerprint(root)}
    write_text(root / 'recipe.json', json.dumps(content) + '\n')
    if progress:
        print(f'{root}: {recipe.train_images} train and {recipe.val_images} val images written')
    return root


def _annotation_path(root: Path, split: str) -> Path:
    return root / 'annotations' / f'glyphs_{split}.json'


def _load_outlines(plan: GlyphPlan) -> None:
    """Fill the cache of outlines: the font library itself is not thread-safe."""
    for char in plan.glyphs:
        for font in fonts_with(char):
            outline(char, font)


def _render_all(
    root: Path, plan: GlyphPlan, workers: int | None, progress: bool
) -> list[tuple[dict, list[dict]]]:
    """Render and save every image; the json entry and annotations of each, in planned order."""

    def render(image: ImagePlan) -> tuple[dict, list[dict]]:
        pixels, placed = render_image(plan, image)
        ok, png = cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not ok:
            raise OSError(f'cannot encode {image.path}')
        (root / image.path).write_bytes(png.tobytes())
        return annotate_image(image, placed, plan.recipe.side)

    with ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1)) as pool:
        done = pool.map(render, plan.images)
        return list(
            tqdm(done, 'glyphs', len(plan.images), unit='img', disable=None if progress else True)
        )


def _write_annotations(root: Path, plan: GlyphPlan, entries: list[tuple[dict, list[dict]]]) -> None:
    num_train = plan.recipe.train_images
    parts = {'train': entries[:num_train], 'val': entries[num_train:]}
    annotations = {k: [a for _, objects in part for a in objects] for k, part in parts.items()}
    categories = make_categories(plan, annotations['train'])
    for split, part in parts.items():
        images = [entry for entry, _ in part]
        content = make_json(plan.recipe, images, annotations[split], categories)
        write_text(_annotation_path(root, split), json.dumps(content) + '\n')


def _fingerprint(root: Path) -> dict:
    """Checksums of the annotation files, and number and total bytes of the images."""
    result: dict = {'annotations': {}, 'images': {}}
    for split in SPLITS:
        path = _annotation_path(root, split)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
        sizes = [p.stat().st_size for p in _own_images(root, split)]
        result['annotations'][path.name] = digest
        result['images'][split] = {'number': len(sizes), 'bytes': sum(sizes)}
    return result


def _is_complete(root: Path, recipe: GlyphRecipe) -> bool:
    """Whether the folder holds exactly this data set; False if there is nothing.

    Raises:
        GlyphFolderError: If there is something else.
    """
    if not root.exists() or not any(root.iterdir()):
        return False
    path = root / 'recipe.json'
    if not path.exists():
        raise GlyphFolderError(
            f'{root} is not empty and has no recipe.json (an interrupted run, or not a glyphs '
            f'data set), expected {_describe(recipe)}: choose another folder, or replace what '
            'an earlier run wrote with --overwrite'
        )
    try:
        recorded = json.loads(path.read_text(encoding='utf-8'))
        recorded_recipe = dict(recorded.pop('recipe'))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GlyphFolderError(
            f'{path} is not a glyphs recipe ({error}), expected {_describe(recipe)}: choose '
            'another folder, or replace the data set with --overwrite'
        ) from error
    _compare('another recipe', root, recorded_recipe, recipe.to_dict())
    _compare('incomplete or changed files', root, _fingerprint(root), recorded)
    return True


def _compare(what: str, root: Path, present: dict, expected: dict) -> None:
    keys = sorted(present.keys() | expected.keys())
    differing = [k for k in keys if present.get(k) != expected.get(k)]
    if not differing:
        return
    if 'size' in differing:  # then nearly all differs: the name says it
        differing = ['size']
    details = '; '.join(
        f'{key}: found {present.get(key)!r}, expected {expected.get(key)!r}' for key in differing
    )
    raise GlyphFolderError(
        f'{root} holds {what} ({details}): choose another folder, or replace the data set '
        'with --overwrite'
    )


def _describe(recipe: GlyphRecipe) -> str:
    return f'size {recipe.size!r} with seed {recipe.seed}'


def _own_images(root: Path, split: str) -> Iterator[Path]:
    folder = root / split
    if folder.is_dir():
        yield from (p for p in folder.iterdir() if _IMAGE_NAME.fullmatch(p.name))


def _remove_own_files(root: Path) -> None:
    """Remove the files this module writes, and its folders where that leaves them empty."""
    # First: from here on the folder counts as incomplete.
    (root / 'recipe.json').unlink(missing_ok=True)
    own = list(root.glob('recipe.json.*.part'))
    for split in SPLITS:
        path = _annotation_path(root, split)
        own += [path, *path.parent.glob(f'{path.name}.*.part'), *_own_images(root, split)]
    for path in own:
        path.unlink(missing_ok=True)
    for folder in ('annotations', *SPLITS):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
