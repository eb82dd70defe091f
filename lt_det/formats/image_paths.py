"""Where the image of a record lies: one rule for all that read images.

An image is looked for under its ``file_name`` and the path of its ``coco_url``; the first file that
exists is taken.
"""

from __future__ import annotations

import os.path as osp
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import numpy as np

from ..errors import BadInputError
from .annotation_remarks import Remark, remark

if TYPE_CHECKING:
    from .annotation_columns import AnnotationColumns

_ABSOLUTE = re.compile(r'/|[A-Za-z]:/')
_COCO_2014 = re.compile(r'COCO_\w+_(\d{12}\.\w+)$')


def find_image(file_name: str, coco_url: str, folder: str) -> str:
    """The image of a record: the first of :func:`candidates` that exists; if none does, the first.

    Args:
        file_name, coco_url: Of the record; one of them may be empty.
        folder: The folder of the images, or the address of a remote one, where none is looked for.
    """
    if '://' in folder:
        return next(candidates(file_name, coco_url, folder))
    for exists in (osp.isfile, osp.lexists):
        for path in candidates(file_name, coco_url, folder):
            if exists(path):
                return path
    return next(candidates(file_name, coco_url, folder))


def find_images(
    columns: AnnotationColumns, folder: str, images: Sequence[int] | np.ndarray | None = None
) -> list[str]:
    """Path of each image of a file, of all by default."""
    numbers = range(columns.num_images) if images is None else images
    return [find_image(*columns.image_names(int(image)), folder) for image in numbers]


def candidates(file_name: str, coco_url: str, folder: str) -> Iterator[str]:
    """Paths under which an image is looked for, in this order:

    1. ``file_name`` in the folder, or as it is if absolute; with ``/`` for ``\\``;
    2. without the parts with which the folder ends (``train/a.jpg`` in ``data/train``), or what an
       absolute path of another machine, or an address, ends with;
    3. the path of ``coco_url``, then what it ends with: ``images/a.jpg``, ``a.jpg``; percent codes
       also decoded;
    4. ``file_name`` with percent codes decoded, and with composed and decomposed letters, which
       macOS exchanges.

    Names of COCO 2014, which LVIS v0.5 has for images of COCO 2017, come after the ``coco_url``,
    and their number alone is tried as well.
    """
    return (osp.join(folder, name) for name in _names(file_name, coco_url, folder))


def tried(file_name: str, coco_url: str, folder: str, most: int = 3) -> str:
    """The first candidates in words, for a message."""
    paths = dict.fromkeys(candidates(file_name, coco_url, folder))
    return ', '.join(islice(paths, most))


def require_names(columns: AnnotationColumns) -> None:
    """Refuse an image without any name.

    Raises:
        BadInputError: An image has neither ``file_name`` nor ``coco_url``.
    """
    for image in np.flatnonzero(columns.nameless()):
        raise BadInputError(
            f'{columns.source}: image {columns.arrays["image_id"][image]} has no coco_url or '
            'file_name'
        )


def shared_files(
    columns: AnnotationColumns, images: np.ndarray, paths: list[str], folder: str
) -> list[Remark]:
    """Remarks on images that are read from the file of another image.

    Args:
        columns: Of the annotation file.
        images: (N,) numbers of images.
        paths: Their N files.
        folder: The folder of the images.

    Raises:
        BadInputError: Different names lead to one file, so that an image is not the one meant.
    """
    first: dict[str, int] = {}
    repeated = []
    for image, path in zip(images.tolist(), paths, strict=True):
        other = first.setdefault(osp.normpath(path), image)
        if other == image:
            continue
        names = [_meant(*columns.image_names(one), folder) for one in (other, image)]
        if names[0] != names[1]:
            ids = columns.arrays['image_id'][[other, image]].tolist()
            raise BadInputError(
                f'{columns.source}: images {ids[0]} and {ids[1]} are both found at {path}, though '
                f'their names differ ({names[0]} and {names[1]}); give each a file_name below '
                f"data_prefix['img'] ({folder or '.'})"
            )
        repeated.append(columns.arrays['image_id'][image])
    return remark('image_repeated', repeated, 'images', 'that are the file of another image too')


def _meant(file_name: str, coco_url: str, folder: str) -> str:
    if not file_name:
        return coco_url
    return osp.normpath(osp.join(folder, file_name.replace('\\', '/')))


def _names(file_name: str, coco_url: str, folder: str) -> Iterator[str]:
    if _COCO_2014.match(file_name):
        yield from _by_url(coco_url)
        yield from _by_name(file_name, folder)
    else:
        yield from _by_name(file_name, folder)
        yield from _by_url(coco_url)
    name = file_name.replace('\\', '/')
    if '%' in name:
        yield unquote(name)
    if not name.isascii():
        for form in ('NFC', 'NFD'):
            yield unicodedata.normalize(form, name)
    yield file_name or coco_url


def _by_name(file_name: str, folder: str) -> Iterator[str]:
    if not file_name:
        return
    yield file_name
    name = file_name.replace('\\', '/')
    yield name
    parts = _parts(name)
    if '://' in name:
        yield from _by_url(name)
    elif _ABSOLUTE.match(name):
        yield from _endings(parts)
    else:
        yield from _without(parts, _parts(folder))
        yield from _COCO_2014.findall(name)


def _by_url(coco_url: str) -> Iterator[str]:
    try:
        url = urlsplit(coco_url.replace('\\', '/'))
    except ValueError:  # brackets that are no address
        return
    for path in dict.fromkeys((url.path, unquote(url.path))):
        if path and not url.netloc:
            yield path
        yield from _endings(_parts(path))


def _parts(path: str) -> list[str]:
    return [part for part in path.split('/') if part not in ('', '.')]


def _endings(parts: list[str]) -> Iterator[str]:
    return ('/'.join(parts[start:]) for start in range(len(parts)))


def _without(parts: list[str], folder: list[str]) -> Iterator[str]:
    """The path without those of its first parts that are the last of the folder."""
    for count in range(min(len(parts) - 1, len(folder)), 0, -1):
        if parts[:count] == folder[-count:]:
            yield '/'.join(parts[count:])
