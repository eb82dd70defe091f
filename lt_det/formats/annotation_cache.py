"""The columns of an annotation file, kept beside it and mapped into memory.

``lvis_v1_train.json.columns`` is a folder of one ``.npy`` file a column and a ``meta.json``. It
belongs to the json whose size and hash it names; the hash is computed again only when the times of
the json have changed. All processes of a machine share one copy in memory, that of the page cache.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import uuid
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .annotation_columns import AnnotationColumns, read_columns
from .annotation_file import check_is_annotation_file
from .annotation_remarks import Remark
from .files import sha256

try:
    import fcntl
except ImportError:  # Windows: processes that start together all parse, and one of them is kept
    fcntl = None

FORMAT = 4
SMALLEST = 2**24  # bytes; a smaller json is parsed in the time that it takes to look for a cache
_ENDING = '.columns'
_META = 'meta.json'
_FACTS = ('federated', 'has_annotations', 'remarks', 'training_remarks')
_CHECKED_BLOCKS, _CHECKED_BLOCK = 256, 2**18  # of each column; 64 MiB are all of it


class _CorruptError(ValueError):
    """A cache that cannot be what was written."""


class _MappedColumns(AnnotationColumns):
    """Columns on disk; another process gets them by mapping the same files."""

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / _META).read_bytes())
        arrays = {
            name: np.load(folder / f'{name}.npy', mmap_mode='r', allow_pickle=False).view(
                np.ndarray
            )
            for name in meta['checksums']
        }
        source = str(folder).removesuffix(_ENDING)
        facts = {name: meta[name] for name in _FACTS}
        for name in ('remarks', 'training_remarks'):
            facts[name] = [Remark(*remark) for remark in facts[name]]
        super().__init__(source, meta['categories'], arrays, **facts)
        self.folder, self.meta = folder.absolute(), meta

    def __reduce__(self) -> tuple:
        return _MappedColumns, (self.folder,)


def cache_folder(path: str | Path) -> Path:
    return Path(f'{path}{_ENDING}')


def load_columns(
    path: str | os.PathLike, cache: bool = True, make_cache: bool = True
) -> AnnotationColumns:
    """The columns of an annotation file, from its cache if it has one, which is made if not.

    Of processes that call this together one parses and the others wait for it. In a folder that
    cannot be written to, on a full disk, and below ``SMALLEST`` bytes the file is parsed into the
    memory of this process. A cache that is damaged is made anew, with a warning.

    Args:
        path: The json.
        cache: False parses in any case, and neither reads nor writes a cache.
        make_cache: False leaves the folder of the json as it is.

    Raises:
        MissingFileError, BadInputError: Those of :func:`read_columns`.
    """
    path = Path(path)
    check_is_annotation_file(path)
    if not cache or path.stat().st_size < SMALLEST:
        return read_columns(path)
    with contextlib.suppress(_CorruptError):
        cached = open_cache(path)
        if cached is not None:
            return cached
    if not make_cache or not os.access(path.parent, os.W_OK):
        return read_columns(path)
    with _locked(path) as alone:
        try:
            cached = open_cache(path)  # another process may have made it meanwhile
        except _CorruptError as error:
            warnings.warn(f'{cache_folder(path)}: {error}; it is made anew', stacklevel=2)
            cached = None
        if cached is not None:
            return cached
        if alone:
            _remove_leftovers(path)
        stamp = _stamp(path)
        columns = read_columns(path)
        try:
            return _save(columns, path, stamp)
        except OSError as error:
            warnings.warn(
                f'{cache_folder(path)} cannot be written ({error}); every process parses and holds '
                f'{path.name} for itself',
                stacklevel=2,
            )
            return columns


def open_cache(path: Path) -> AnnotationColumns | None:
    """The cache of an annotation file; None if there is none, or one of another content."""
    folder = cache_folder(path)
    if not folder.exists():
        return None
    try:
        meta = json.loads((folder / _META).read_bytes())
        if meta['format'] != FORMAT:
            return None
        columns = _MappedColumns(folder)
        present = {name: _checksum(folder / f'{name}.npy') for name in columns.arrays}
    except Exception as error:  # bytes that are no array raise what they happen to
        raise _CorruptError(f'cannot be read ({error})') from error
    if present != meta['checksums']:
        wrong = next(name for name in present if present[name] != meta['checksums'][name])
        raise _CorruptError(f'{wrong}.npy is not what was written')
    stamp = _stamp(path)
    if stamp == meta['stamp']:
        return columns
    if stamp[0] != meta['stamp'][0] or sha256(path) != meta['sha256']:
        return None
    with contextlib.suppress(OSError):  # so that the next start need not hash again
        _write_meta(folder, {**meta, 'stamp': stamp})
    return columns


def _save(columns: AnnotationColumns, path: Path, stamp: list[int]) -> AnnotationColumns:
    """Write all columns into a new folder, then put it in place at once."""
    folder = cache_folder(path)
    new = _beside(folder)
    try:
        new.mkdir()
        for name, array in columns.arrays.items():
            np.save(new / f'{name}.npy', array)
        meta = {
            'format': FORMAT,
            'stamp': stamp,
            'sha256': sha256(path),
            'categories': columns.categories,
            **{name: getattr(columns, name) for name in _FACTS},
            'checksums': {name: _checksum(new / f'{name}.npy') for name in columns.arrays},
        }
        _write_meta(new, meta)
        if _stamp(path) != stamp:  # it was written to while it was read
            return columns
        with contextlib.suppress(OSError):  # without locks another process may come between
            if folder.exists():
                old = _beside(folder)
                folder.rename(old)
                shutil.rmtree(old, ignore_errors=True)
            new.rename(folder)
            return _MappedColumns(folder)
        return columns
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_meta(folder: Path, meta: dict) -> None:
    new = _beside(folder / _META)
    try:
        new.write_text(json.dumps(meta))
        new.replace(folder / _META)
    finally:
        new.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f'{path.name}.{uuid.uuid4().hex}')


def _remove_leftovers(path: Path) -> None:
    """Folders of processes that were killed while they wrote."""
    name = glob.escape(cache_folder(path).name)
    for folder in path.parent.glob(f'{name}.' + '[0-9a-f]' * 32):
        shutil.rmtree(folder, ignore_errors=True)


def _stamp(path: Path) -> list[int]:
    """Size and times of last change; the second is that of the file system, which nobody sets."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _checksum(path: Path) -> int:
    """CRC of evenly spread blocks: a file that was cut off, or has a hole, is found at once."""
    # read, not mapped: what is mapped counts as memory of this process
    with path.open('rb') as file:
        size = file.seek(0, os.SEEK_END)
        checksum = zlib.crc32(str(size).encode())
        for start in range(0, size, max(size // _CHECKED_BLOCKS, _CHECKED_BLOCK)):
            file.seek(start)
            checksum = zlib.crc32(file.read(_CHECKED_BLOCK), checksum)
    return checksum


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file; gives False where the file system has none."""
    with path.open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except (AttributeError, OSError):
            yield False
        else:
            yield True
