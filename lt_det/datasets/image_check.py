"""What image files are, without decoding them: missing, broken, and their size as loaded.

A file is what its content says, whatever its name ends in, and what follows the end mark of an
image does not matter. JPEG, PNG, WebP and BMP are looked at from header to end mark; files of other
formats, and those in doubt, are decoded as the loader would.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

MISSING, BROKEN = 'missing', 'broken'
TURNED = 5  # the least EXIF orientation that exchanges width and height
TURNING_TYPES = ('color', 'grayscale')  # those with which the loader turns by it

_THREADS, _PART = 16, 64  # a network disk answers many at once; files per task
_HEAD = _TAIL = 4096  # bytes in which the header and the end mark of most JPEGs are
_SCAN, _APP1, _FRAMES = 0xDA, 0xE1, (0xC0, 0xC1, 0xC2)
# Frames that every decoder reads, tables, APP0 to APP15, comments, and the start of the scan.
_SEGMENTS = {*_FRAMES, 0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE, _SCAN}
_ORIENTATION = 0x0112
_TURNING_BACKENDS, _TURNING_FORMATS = ('cv2', 'pillow'), ('JPEG', 'PNG')
_ALPHA = ('RGBA', 'LA', 'PA', 'La', 'RGBa')
_DEEP = ('I', 'F')
_CV2_SIDE = int(os.environ.get('OPENCV_IO_MAX_IMAGE_WIDTH', 2**20))
_CV2_PIXELS = int(os.environ.get('OPENCV_IO_MAX_IMAGE_PIXELS', 2**30))
_decoding = threading.Semaphore(2)  # images that are in memory at once


class ImageFacts(NamedTuple):
    """One file; see :class:`ImageColumns`."""

    problem: str | None
    reason: str = ''
    width: int = 0
    height: int = 0
    orientation: int = 1
    deep: bool = False
    alpha: bool = False


@dataclass
class ImageColumns:
    """N image files.

    Args:
        problem: (N,) object, ``'missing'``, ``'broken'`` or None.
        reason: (N,) object, the problem in words that follow the file's name; empty without one.
        width, height: (N,) int64 pixels as loaded; 0 where there is a problem.
        orientation: (N,) int64, EXIF orientation 1 to 8; 1 without.
        deep: (N,) bool, more than 8 bits per channel.
        alpha: (N,) bool, with transparency.
    """

    problem: np.ndarray
    reason: np.ndarray
    width: np.ndarray
    height: np.ndarray
    orientation: np.ndarray
    deep: np.ndarray
    alpha: np.ndarray


def inspect_images(
    paths: Sequence[str | Path], color_type: str = 'color', backend: str | None = 'cv2'
) -> ImageColumns:
    """Look at image files, in threads.

    Args:
        paths: N local files.
        color_type, backend: ``color_type`` and ``imdecode_backend`` of MMCV's LoadImageFromFile;
            OpenCV and Pillow turn an image by its EXIF orientation unless told not to.
    """
    backend = backend or 'cv2'

    def part(start: int) -> list[ImageFacts]:
        return [_facts(path, color_type, backend) for path in paths[start : start + _PART]]

    with _quiet_pillow(), ThreadPoolExecutor(_THREADS) as pool:
        facts = list(chain.from_iterable(pool.map(part, range(0, len(paths), _PART))))
    columns = list(zip(*facts, strict=True)) or [()] * len(ImageFacts._fields)
    kinds = (object, object, np.int64, np.int64, np.int64, bool, bool)
    return ImageColumns(*map(np.array, columns, kinds))


def defect(path: str | Path) -> str | None:
    """What is wrong with an image file: ``'missing'``, ``'broken'``, or None."""
    return inspect_images([path]).problem[0]


def _facts(path: str | Path, color_type: str, backend: str) -> ImageFacts:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            kind = 'folder' if stat.S_ISDIR(status.st_mode) else 'device or pipe'
            return ImageFacts(BROKEN, f'is a {kind}')
        if not status.st_size:
            return ImageFacts(BROKEN, 'is empty')
        with open(path, 'rb') as file:
            return _inspect(file, status.st_size, color_type, backend)
    except (FileNotFoundError, NotADirectoryError):
        link = os.path.islink(path)
        return ImageFacts(MISSING, 'is a link to nothing' if link else 'does not exist')
    except PermissionError:
        return ImageFacts(BROKEN, 'may not be read')
    except OSError as error:
        return ImageFacts(BROKEN, f'cannot be read ({error.strerror or error})')
    except ValueError as error:  # a path with a null byte
        return ImageFacts(MISSING, str(error))


class _Header(NamedTuple):
    """What the header of a file says; ``is_whole`` is None where that takes decoding."""

    format: str
    width: int
    height: int
    exif: bytes
    is_whole: bool | None
    deep: bool = False
    alpha: bool = False


def _inspect(file: BinaryIO, size: int, color_type: str, backend: str) -> ImageFacts:
    header = _jpeg_header(file, size)
    if header is None or backend == 'pillow':  # which turns by XMP too
        file.seek(0)
        try:
            header = _pillow_header(file, size, backend)
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            header = None
        except Exception:  # of any kind, as malformed files go
            header = None
        if header is None:
            return _decoded(file, color_type, backend, 'is cut off or no image')
    name, width, height, exif, is_whole, deep, alpha = header
    if is_whole is False:
        return ImageFacts(BROKEN, f'is a {name} that is cut off')
    orientation = _exif_orientation(exif)
    if is_whole is None or (orientation >= TURNED and name not in _TURNING_FORMATS):
        facts = _decoded(file, color_type, backend, f'is a {name} that {backend} does not read')
        return facts._replace(orientation=orientation, deep=deep, alpha=alpha)
    if backend == 'cv2' and (max(width, height) > _CV2_SIDE or width * height > _CV2_PIXELS):
        reason = f'has {width} x {height} pixels, more than OpenCV reads'
        return ImageFacts(BROKEN, reason)
    turning = backend in _TURNING_BACKENDS and color_type in TURNING_TYPES
    if turning and orientation >= TURNED:
        width, height = height, width
    return ImageFacts(None, '', width, height, orientation, deep, alpha)


def _jpeg_header(file: BinaryIO, size: int) -> _Header | None:
    """Of a plain JPEG, without Pillow's cost; None where there is anything unusual."""
    head, position = file.read(_HEAD), 2
    width = height = 0
    exif = b''
    if head[:3] != b'\xff\xd8\xff':
        return None
    while True:
        if position + 4 > len(head):
            head += file.read(position + _HEAD - len(head))
            if position + 4 > len(head):
                return None
        mark, kind, length = struct.unpack_from('>BBH', head, position)
        if mark != 0xFF or kind not in _SEGMENTS or length < 2:
            return None
        if kind == _SCAN:
            is_whole = _jpeg_ends(file, size, position)
            return _Header('JPEG', width, height, exif, is_whole) if width and height else None
        end = position + 2 + length
        if kind in _FRAMES or (kind == _APP1 and not exif):
            head += file.read(max(end - len(head), 0))
            segment = head[position + 4 : end]
            if len(segment) < length - 2:
                return None
            if kind == _APP1:
                exif = segment if segment.startswith(b'Exif') else b''
            else:
                if length < 8 or segment[0] != 8:  # bits
                    return None
                height, width = struct.unpack_from('>HH', segment, 1)
        position = end


def _pillow_header(file: BinaryIO, size: int, backend: str) -> _Header:
    image = Image.open(file)
    deep = image.mode.startswith(_DEEP)
    alpha = image.mode in _ALPHA or 'transparency' in image.info
    exif = image.info.get('exif', b'')
    is_whole = None
    if image.format in ('JPEG', 'MPO'):
        is_whole = _jpeg_ends(file, size, file.tell())
    elif image.format == 'PNG':
        is_whole, exif, depth = _walk_png(file, size)
        deep = depth > 8
    elif image.format == 'WEBP':
        file.seek(4)
        is_whole = struct.unpack('<I', file.read(4))[0] + 8 <= size
    elif image.format == 'BMP' and len(image.tile) == 1 and image.tile[0][0] == 'raw':
        _, _, offset, (_, stride, _) = image.tile[0]
        is_whole = offset + stride * image.height <= size
    if is_whole and backend == 'pillow' and 'xmp' in image.info:
        is_whole = None
    return _Header(image.format, *image.size, exif, is_whole, deep, alpha)


def _jpeg_ends(file: BinaryIO, size: int, scan: int) -> bool:
    """Whether the end mark comes after the start of the scan.

    Within a scan the bytes of the end mark cannot occur; within a thumbnail before it they do.
    """
    file.seek(max(scan, size - _TAIL))
    if b'\xff\xd9' in file.read():
        return True
    file.seek(scan)
    return b'\xff\xd9' in file.read()


def _walk_png(file: BinaryIO, size: int) -> tuple[bool, bytes, int]:
    """Whether all chunks are there to the last, the EXIF chunk, and bits per channel."""
    file.seek(24)
    depth = file.read(1)[0]
    position, exif = 8, b''
    while position + 12 <= size:
        file.seek(position)
        length, name = struct.unpack('>I4s', file.read(8))
        if name == b'eXIf':
            exif = file.read(length)
        position += length + 12
        if name == b'IEND':
            return position <= size, exif, depth
        if not name.isalpha():
            break
    return False, exif, depth


def _exif_orientation(exif: bytes) -> int:
    """1 to 8, read as OpenCV does it: as 16 bits, whatever type the entry has."""
    tiff = exif.removeprefix(b'Exif\0\0')
    order = {b'II': '<', b'MM': '>'}.get(tiff[:2])
    try:
        start = struct.unpack_from(f'{order}I', tiff, 4)[0]
        for entry in range(struct.unpack_from(f'{order}H', tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(f'{order}HHIH', tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # no byte order, or cut off
        pass
    return 1


def _decoded(file: BinaryIO, color_type: str, backend: str, reason: str) -> ImageFacts:
    """Decode as MMCV does it, for the size alone."""
    file.seek(0)
    content = file.read()
    with _decoding:
        try:
            if backend == 'pillow':
                image = Image.open(BytesIO(content))
                if color_type in TURNING_TYPES:
                    image = ImageOps.exif_transpose(image)
                image.load()
                width, height = image.size
            else:
                height, width = _cv2_shape(content, color_type)
        except Exception:  # of any kind, as malformed files go
            return ImageFacts(BROKEN, reason)
    return ImageFacts(None, '', width, height)


def _cv2_shape(content: bytes, color_type: str) -> tuple[int, int]:
    import cv2

    flag = {'grayscale': cv2.IMREAD_GRAYSCALE, 'unchanged': cv2.IMREAD_UNCHANGED}.get(
        color_type.removesuffix('_ignore_orientation'), cv2.IMREAD_COLOR
    )
    if color_type.endswith('_ignore_orientation'):
        flag |= cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(content, np.uint8), flag).shape[:2]


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Let Pillow open images of any size, which it refuses by default, and warn of nothing."""
    most = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = most
