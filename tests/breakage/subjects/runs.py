"""Work dirs, from which a report page is made."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .. import files
from ..breaking import ARRAYS, Broken, broken_array, broken_bytes, broken_json, broken_lines
from ..documented import REFUSED
from .outcome import Subject, agree, outcome


@cache
def run_folders() -> dict[str, Any]:
    """Files by name of a detector and a classifier, and what is made of them."""
    from lt_det.report.page.data import collect

    found = {}
    for kind, make in (('detector', files.detector_run), ('classifier', files.classifier_run)):
        kept = tempfile.TemporaryDirectory(prefix='breakage')  # until the process ends
        folder = Path(kept.name)
        make(folder)
        contents = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*')
            if path.is_file()
        }
        found[kind] = kept, contents, collect(folder, resamples=2)
    return found


def check_run(kind: str, name: str, equal: bool = False) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.report.page.build import build
        from lt_det.report.page.data import collect

        kept, contents, good = run_folders()[kind]
        home = Path(kept.name)
        for file, content in contents.items():
            (home / file).write_bytes(content)
        (home / name).write_bytes(data)
        page = outcome(collect, home, None, 2)
        if page != REFUSED:
            build(page)
            if equal:
                agree(page, good, 'the page')

    return check


@st.composite
def broken_npz(draw: Callable, make: Callable[[], dict[str, np.ndarray]]) -> Broken:
    arrays = dict(make())
    name = draw(st.sampled_from(sorted(arrays)))
    if draw(st.integers(0, 5)) == 0:
        del arrays[name]
        return Broken('array missing', f'{name} missing', files.npz_bytes(arrays))
    change = draw(st.sampled_from([change for change, _ in ARRAYS]))
    arrays[name] = broken_array(arrays[name], change)
    return Broken(f'array: {change}', f'{name}: {change}', files.npz_bytes(arrays))


@cache
def detector_arrays() -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(run_folders()['detector'][1]['predictions.npz'])) as file:
        return dict(file.items())


def from_run(kind: str, name: str) -> st.SearchStrategy:
    def broken() -> st.SearchStrategy:
        data = run_folders()[kind][1][name]
        if name.endswith('.npz'):
            return broken_bytes(data)
        return broken_lines(data.decode()) if 'scalars' in name else broken_json(json.loads(data))

    return st.deferred(broken)


SCALARS = os.path.join('1', 'vis_data', 'scalars.json')


SUBJECTS = {
    'metrics': Subject(from_run('detector', 'metrics.json'), check_run('detector', 'metrics.json')),
    'note of a run': Subject(from_run('detector', 'run.json'), check_run('detector', 'run.json')),
    'log': Subject(from_run('detector', SCALARS), check_run('detector', SCALARS)),
    'kept detections, bytes': Subject(
        from_run('detector', 'predictions.npz'), check_run('detector', 'predictions.npz', True)
    ),
    'kept detections': Subject(
        broken_npz(detector_arrays), check_run('detector', 'predictions.npz')
    ),
    'metrics of a classifier': Subject(
        from_run('classifier', 'metrics.json'), check_run('classifier', 'metrics.json')
    ),
    'note of a classifier': Subject(
        from_run('classifier', 'run.json'), check_run('classifier', 'run.json')
    ),
    'classified, bytes': Subject(
        from_run('classifier', 'predictions.npz'), check_run('classifier', 'predictions.npz', True)
    ),
    'classified': Subject(broken_npz(files.classified), check_run('classifier', 'predictions.npz')),
}
