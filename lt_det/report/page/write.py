"""``report.html`` of a run."""

from __future__ import annotations

import os
from pathlib import Path

from ...formats.files import write_text
from .build import build
from .data import RESAMPLES, collect
from .run_files import find_run


def write_report(
    work_dir: str | os.PathLike,
    against: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    resamples: int = RESAMPLES,
) -> tuple[Path, list[str]]:
    """Write the page of a run, whole or not at all.

    Args:
        work_dir: A work dir with ``metrics.json``.
        against: That of the baseline.
        out: The page; by default ``report.html`` beside ``metrics.json``.
        resamples: Of the bootstrap over images, from which the intervals are.

    Returns:
        Path of the page, and what it lacks, in words.

    Raises:
        MissingFileError: A work dir or its numbers are not there.
        BadInputError: A file cannot be used, or the two runs are of other data.
        UserError: The page cannot be written.
    """
    path = find_run(work_dir).folder / 'report.html' if out is None else Path(out)
    data = collect(work_dir, against, resamples)
    write_text(path, build(data))
    return path, data['notes']
