"""What reads each kind of file, and what it must give of a broken one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from ..breaking import Broken
from . import calibration, models, results, runs, texts, truth
from .outcome import Subject

SUBJECTS: dict[str, Subject] = {
    name: subject
    for family in (truth, results, texts, calibration, runs, models)
    for name, subject in family.SUBJECTS.items()
}


@st.composite
def cases(draw: Callable) -> tuple[str, Broken]:
    """A kind of file, and one that is broken."""
    name = draw(st.sampled_from(list(SUBJECTS)))
    return name, draw(SUBJECTS[name].broken)


def check(name: str, folder: Path, data: bytes) -> None:
    """Read broken content, warnings of data set aside."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        SUBJECTS[name].check(folder, data)
