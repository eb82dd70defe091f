"""What a calibration writes and reads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from ...test_calibration.test_page import calibrated, written
from ..breaking import broken_bytes, broken_json, broken_lines
from ..documented import REFUSED
from .outcome import Subject, outcome


@cache
def calibration_texts() -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder), *calibrated(num_classes=6))
        return tuple(Path(folder, name).read_text() for name in ('choice.json', 'sweep.csv'))


def check_calibration(name: str) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.calibration.choice import read_choice
        from lt_det.calibration.page import write_page
        from lt_det.calibration.sweep_file import read_sweep

        for file, text in zip(('choice.json', 'sweep.csv'), calibration_texts()):
            (folder / file).write_text(text)
        (folder / name).write_bytes(data)
        read = {'choice.json': read_choice, 'sweep.csv': read_sweep}[name]
        found = outcome(read, folder / name)
        if found != REFUSED and name == 'choice.json':
            found.write(folder / 'again.json')
        outcome(write_page, folder)

    return check


def check_rules(folder: Path, data: bytes) -> None:
    from lt_det.calibration.settings import read_settings

    (folder / 'rules.json').write_bytes(data)
    outcome(read_settings, folder / 'rules.json', 'softmax')


RULES = {'rules': [{'type': 'NorCal', 'gamma': 0.5}, [{'type': 'Temperature', 'temperature': 2.0}]]}
STATE = {'done': 3, 'rows': [0, 0], 'of': {'a': 'b'}}


def check_spool(folder: Path, data: bytes) -> None:
    from lt_det.calibration.spool import Spool, images_done

    spool = folder / 'spool'
    spool.mkdir(exist_ok=True)
    (spool / 'state.json').write_bytes(data)
    assert isinstance(images_done(spool), int)
    found = outcome(Spool, spool, 2, {'a': 'b'}, True)
    if found != REFUSED:
        for number in range(2):
            outcome(found.rows, number)


def check_rows(folder: Path, data: bytes) -> None:
    from lt_det.calibration.spool import ROW, Spool

    spool = folder / 'spool'
    spool.mkdir(exist_ok=True)
    (spool / 'state.json').write_text(json.dumps({'done': 3, 'rows': [3], 'of': {}}))
    (spool / '000.rows').write_bytes(data)
    found = outcome(Spool, spool, 1, {}, True)
    if found != REFUSED:  # what is noted is there
        assert len(found.rows(0)) == 3 and len(data) >= 3 * ROW.itemsize


def row_bytes() -> bytes:
    from lt_det.calibration.spool import ROW

    return np.ones(3, ROW).tobytes()


def from_calibration(index: int) -> st.SearchStrategy:
    def broken() -> st.SearchStrategy:
        text = calibration_texts()[index]
        return broken_lines(text) if index else broken_json(json.loads(text))

    return st.deferred(broken)


SUBJECTS = {
    'choice': Subject(from_calibration(0), check_calibration('choice.json')),
    'sweep': Subject(from_calibration(1), check_calibration('sweep.csv')),
    'rules': Subject(broken_json(RULES), check_rules),
    'rows of a sweep': Subject(st.deferred(lambda: broken_bytes(row_bytes())), check_rows),
    'state of a sweep': Subject(broken_json(STATE), check_spool),
}
