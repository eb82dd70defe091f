"""264 files broken in one place; more are tried by benchmarks/reliability/bad_input.py."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from .subjects import SUBJECTS, check

few = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize('name', SUBJECTS)
def test_a_broken_file_is_read_as_documented_or_refused(name):
    @few
    @given(SUBJECTS[name].broken)
    def attempt(broken):
        with tempfile.TemporaryDirectory() as folder:
            check(name, Path(folder), broken.data)

    attempt()
