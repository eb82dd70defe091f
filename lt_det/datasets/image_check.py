"""Finding missing and broken image files before training does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import BadInputError, MissingFileError

# First and last bytes of a complete file; other formats are only checked for being there.
_MARKS = {
    '.jpg': (b'\xff\xd8', b'\xff\xd9'),
    '.jpeg': (b'\xff\xd8', b'\xff\xd9'),
    '.png': (b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'),
}
_TAIL = 64  # some writers pad behind the end mark


def defect(path: str | Path) -> str | None:
    """What is wrong with an image file: ``'missing'``, ``'broken'``, or None."""
    path = Path(path)
    try:
        with path.open('rb') as file:
            head = file.read(8)
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            tail = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return 'missing'
    except IsADirectoryError:
        return 'broken'
    start, end = _MARKS.get(path.suffix.lower(), (b'', b''))
    return None if head and head.startswith(start) and end in tail else 'broken'


def check_images(paths: Sequence[str], source: str) -> None:
    """Raise on the first image file that is missing or cut off.

    Reads the first and last bytes of each file, in threads.

    Args:
        paths: Local image files.
        source: What names them, for the message.

    Raises:
        MissingFileError: At least one file is missing.
        BadInputError: At least one file is empty, cut off or not what its ending says.
    """
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(defect, paths, chunksize=256))
    for kind, error in (('missing', MissingFileError), ('broken', BadInputError)):
        bad = [path for path, what in zip(paths, found, strict=True) if what == kind]
        if bad:
            raise error(
                f'{len(bad)} of {len(paths)} images of {source} are {kind}, the first is {bad[0]}'
            )
