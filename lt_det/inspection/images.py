"""The problems of the image files of annotation files."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..datasets.image_check import BROKEN, MISSING, inspect_images
from ..datasets.image_files import wrong_sizes
from ..errors import BadInputError
from ..formats.annotation_columns import AnnotationColumns
from ..formats.image_paths import find_images, shared_files, tried
from .annotations import trained_images
from .problems import FIRST, Problem, of_remarks, problem

_THREADS = 16
_BLOCK = 2**20


def problems_of_files(
    columns: dict[str, AnnotationColumns], folders: dict[str, str]
) -> list[Problem]:
    """What is wrong with image files, read as the loader of the configs reads them.

    Args:
        columns: Annotation files by what they are used for, 'train' and 'val'.
        folders: Where the images of these files are; files without a folder are left out.
    """
    problems: list[Problem] = []
    content = {}
    for file, folder in folders.items():
        if file not in columns:
            continue
        side = columns[file]
        images = np.arange(side.num_images) if file == 'val' else trained_images(side)
        images = images[~side.nameless()[images]]
        paths = find_images(side, folder, images)
        problems += _problems_of_side(side, file, images, paths, folder)
        content[file] = list(dict.fromkeys(paths))
    return problems + _copies(content)


def _problems_of_side(
    columns: AnnotationColumns, file: str, images: np.ndarray, paths: list[str], folder: str
) -> list[Problem]:
    files = inspect_images(paths)
    json_sizes = columns.arrays['image_size'][images]
    problems: list[Problem] = []

    def add(kind: str, affected: np.ndarray, say: Callable[[int], str]) -> None:
        rows = np.flatnonzero(affected).tolist()
        if rows:
            first = [say(row) for row in rows[:FIRST]]
            text = None
            if kind == 'image_missing':
                names = columns.image_names(int(images[rows[0]]))
                text = f'images whose file is missing; tried {tried(*names, folder)}'
            problems.append(problem(file, kind, len(rows), first, text=text))

    def sizes(row: int) -> str:
        height, width = json_sizes[row].tolist()
        orientation = files.orientation[row]
        turned = f', EXIF orientation {orientation}' if orientation > 1 else ''
        return (
            f'{paths[row]} {width} x {height} in the json, {files.width[row]} x '
            f'{files.height[row]} as loaded{turned}'
        )

    add('image_missing', files.problem == MISSING, lambda row: paths[row])
    add('image_broken', files.problem == BROKEN, lambda row: f'{paths[row]} {files.reason[row]}')
    try:
        problems += of_remarks(file, shared_files(columns, images, paths, folder), 'lvis')
    except BadInputError as error:
        text = str(error).removeprefix(f'{columns.source}: ')
        problems.append(problem(file, 'image_shared', 1, [], text=text))
    wrong = wrong_sizes(columns, images, files)
    add('image_size', wrong, sizes)
    add('image_turned', (files.orientation > 1) & ~wrong, sizes)
    add('image_deep', files.deep, lambda row: paths[row])
    add('image_alpha', files.alpha, lambda row: paths[row])
    return problems


def _copies(paths: dict[str, list[str]]) -> list[Problem]:
    """Different files with the same content, and files that both sets have.

    Args:
        paths: For 'train' and 'val', files, each once.
    """
    same = _same_content(list(dict.fromkeys(path for side in paths.values() for path in side)))
    problems = []
    for file, side in paths.items():
        first: dict[str, str] = {}
        copies = [path for path in side if first.setdefault(same.get(path, path), path) != path]
        if copies:
            problems.append(problem(file, 'image_same_content', len(copies), copies))
    trained = {same.get(path, path) for path in paths.get('train', ())}
    both = [path for path in paths.get('val', ()) if same.get(path, path) in trained]
    # of a missing file nobody knows the content
    both = [path for path in both if os.path.isfile(path)]
    if both:
        problems.append(problem('both', 'content_in_both', len(both), both))
    return problems


def _same_content(paths: Sequence[str]) -> dict[str, str]:
    """Of each file that has a copy, the first of the files with its content."""
    with ThreadPoolExecutor(_THREADS) as pool:
        alike = _groups(paths, list(pool.map(_size, paths, chunksize=64)))
        alike = [path for group in alike for path in group]
        groups = _groups(alike, list(pool.map(_digest, alike, chunksize=16)))
    return {path: group[0] for group in groups for path in group}


def _groups(paths: Sequence[str], keys: Sequence) -> list[list[str]]:
    """Files with the same key, where there are at least two; those with None have none."""
    groups = defaultdict(list)
    for path, key in zip(paths, keys, strict=True):
        if key is not None:
            groups[key].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path) if os.path.isfile(path) else None
    except OSError:
        return None


def _digest(path: str) -> bytes | None:
    digest = hashlib.blake2b()
    try:
        with open(path, 'rb') as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()
