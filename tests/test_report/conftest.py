"""The report page of the example in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from .page_browser import DATA, launch, opened, written


@pytest.fixture(scope='module')
def browser():
    with launch() as browser:
        yield browser


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> Path:
    return written(DATA, tmp_path_factory.mktemp('page'))


@pytest.fixture
def page(browser, file):
    with opened(browser, file) as page:
        yield page
