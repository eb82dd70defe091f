"""The tests on the GPU that is not there, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from common.mock_gpu import KNOWN

from ..mock_gpu import OWN_PROCESS

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    'tests/test_gpu',
    'tests/test_tools/test_mock_gpu.py',
    'tests/test_models/test_vectorized_assigner.py',
    'tests/test_models/test_float32_roi_extractor.py',
)


@pytest.mark.skipif(OWN_PROCESS, reason='is that process')
@pytest.mark.skipif(not KNOWN, reason='this torch knows no devices written in Python')
def test_in_a_process_of_their_own():
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', 'mock_gpu']
    run = subprocess.run(
        [*command, *FILES],
        cwd=ROOT,
        env={**os.environ, 'LT_DET_MOCK_GPU': '1', 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert ' passed' in run.stdout
