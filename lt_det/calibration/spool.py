"""Scored detections of every setting, on disk: memory does not grow with the number of images."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import BadInputError, UserError
from ..evaluation.diagnosis.matches import Matches
from ..formats.files import whole_file

# a detection that the protocol scores; bit t of hit and ignored is that of threshold t
ROW = np.dtype(
    [('image', '<i4'), ('category', '<i4'), ('score', '<f8'), ('hit', '<u2'), ('ignored', '<u2')]
)


class Spool:
    """A file of rows per setting, and a note of how much of them belongs to images that are done.

    Rows of a chunk of images are appended first and noted then, so that a process that is killed
    in between leaves nothing that counts.

    Args:
        folder: Of the files; made here.
        num_settings: S.
        origin: What the rows are of, as digests of files; plain json.
        resume: Whether to go on with what is there. Else that is refused, unless it is of no image.

    Attributes:
        done: Number of images that are done.

    Raises:
        BadInputError: There are rows already, or they are of something else.
    """

    def __init__(
        self, folder: str | os.PathLike, num_settings: int, origin: Mapping, resume: bool = False
    ) -> None:
        self.folder = Path(folder)
        self.origin = dict(origin)
        self.done = 0
        self._rows = [0] * num_settings
        self._note = self.folder / 'state.json'
        if self._note.is_file():
            self._take_up(resume)
        if not self.done:
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for number, count in enumerate(self._rows):  # without what was not noted
                with open(self._file(number), 'ab') as file:
                    file.truncate(count * ROW.itemsize)
        except OSError as error:
            raise UserError(f'{self.folder} cannot be written: {error.strerror}') from error

    def append(self, rows: Sequence[np.ndarray], num_images: int) -> None:
        """Add the rows of some images.

        Args:
            rows: Of each setting, (N,) of dtype ``ROW``.
            num_images: Images that they are of.

        Raises:
            UserError: They cannot be written, as on a full disk; what was there is kept.
        """
        try:
            for number, more in enumerate(rows):
                with open(self._file(number), 'r+b') as file:
                    file.seek(self._rows[number] * ROW.itemsize)
                    file.write(more.tobytes())
        except OSError as error:
            raise UserError(
                f'{self.folder} cannot be written: {error.strerror}; {self.done} images are done, '
                'with which --resume goes on'
            ) from error
        counts = [count + len(more) for count, more in zip(self._rows, rows, strict=True)]
        with whole_file(self._note) as part:
            state = {'done': self.done + num_images, 'rows': counts, 'of': self.origin}
            part.write_text(json.dumps(state), encoding='utf-8')
        self.done, self._rows = self.done + num_images, counts

    def rows(self, number: int) -> np.ndarray:
        """(N,) of dtype ``ROW``, of a setting, in the order in which they came."""
        return np.fromfile(self._file(number), ROW, self._rows[number])

    def _file(self, number: int) -> Path:
        return self.folder / f'{number:03}.rows'

    def _take_up(self, resume: bool) -> None:
        try:
            state = json.loads(self._note.read_text(encoding='utf-8'))
            done, rows, origin = state['done'], state['rows'], state['of']
            if not _are_counts([done]) or not _are_counts(rows) or not isinstance(origin, dict):
                raise ValueError('expected numbers of images and rows, and what they are of')
            if done and len(rows) != len(self._rows):
                raise ValueError(f'{len(rows)} settings, expected {len(self._rows)}')
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInputError(
                f'{self._note} cannot be read ({error!r}); remove {self.folder} to start anew'
            ) from error
        if done and not resume:
            raise BadInputError(
                f'{self.folder} has the sweep of {done} images; expected --resume to go on with '
                'it, or another --out'
            )
        keys = {**origin, **self.origin}
        other = [key for key in keys if origin.get(key) != self.origin.get(key)]
        if done and other:
            raise BadInputError(
                f'{self.folder} has the sweep of other files or options ({", ".join(other)}); '
                'expected those it was begun with, or another --out'
            )
        if done:
            self.done, self._rows = done, rows
            for number, count in enumerate(rows):
                self._check_length(number, count)

    def _check_length(self, number: int, count: int) -> None:
        """Refuse a file that is shorter than the note says."""
        path = self._file(number)
        size = path.stat().st_size if path.is_file() else 0
        if size < count * ROW.itemsize:
            raise BadInputError(
                f'{path} has {size} bytes, expected at least {count * ROW.itemsize}; remove '
                f'{self.folder} to start anew'
            )


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values
    )


def images_done(folder: str | os.PathLike) -> int:
    """Number of images whose rows a folder has; 0 where there is nothing that can be read."""
    try:
        return int(json.loads(Path(folder, 'state.json').read_text(encoding='utf-8'))['done'])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return 0


def to_rows(matches: Matches) -> np.ndarray:
    """Matched detections (N,) as rows."""
    rows = np.empty(len(matches.score), ROW)
    for name in ('image', 'category', 'score'):
        rows[name] = getattr(matches, name)
    bits = 1 << np.arange(len(matches.annotation), dtype=np.uint16)
    rows['hit'] = bits @ matches.hit.astype(np.uint16)
    rows['ignored'] = bits @ matches.ignored.astype(np.uint16)
    return rows


def to_matches(
    rows: np.ndarray, image_ids: np.ndarray, counted: np.ndarray, num_thresholds: int = 10
) -> Matches:
    """Rows of any images as matched detections, sorted as ``match`` sorts those of all images.

    Args:
        rows: (N,), those of an image from the highest score down within a category.
        image_ids: (I,).
        counted: (G,) bool, annotations that are to be found.
        num_thresholds: T.
    """
    order = np.lexsort(
        (np.arange(len(rows)), image_ids[rows['image']], -rows['score'], rows['category'])
    )
    rows = rows[order]
    bits = (1 << np.arange(num_thresholds, dtype=np.uint16))[:, None]
    return Matches(
        order,
        rows['image'].astype(np.int64),
        rows['category'].astype(np.int64),
        rows['score'],
        np.where(rows['hit'] & bits, 0, -1).astype(np.int32),
        (rows['ignored'] & bits) > 0,
        counted,
    )
