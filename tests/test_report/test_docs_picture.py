"""The script that makes the picture of the report page in the README."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from ..scripts import load_script
from .page_browser import NAMES, launch

SCRIPT = Path(__file__).resolve().parents[2] / 'docs/pictures/make.py'


@pytest.fixture
def script():
    if not SCRIPT.is_file():
        pytest.skip('docs are not part of this distribution')
    return load_script(SCRIPT)


def test_tiles_and_chart_are_in_a_small_picture(script, file, tmp_path, monkeypatch):
    with launch():  # skips where there is no browser
        pass
    out = tmp_path / 'report.png'
    monkeypatch.setattr(script, 'SCALE', 1)  # quicker
    monkeypatch.setattr(script, 'LARGEST', 1000)
    with pytest.raises(SystemExit, match='expected at most 1000'):
        script.photograph(file, out)
    picture = cv2.imread(str(out))
    height, width = picture.shape[:2]
    assert width == script.WIDTH and 500 < height < 1500
    assert picture[: height // 3].std() > 5 and picture[-height // 3 :].std() > 5


def test_the_committed_picture_is_small_and_its_browsers_those_of_the_tests(script):
    assert script.OUT.is_file() and script.OUT.stat().st_size <= script.LARGEST
    assert script.BROWSERS == NAMES
