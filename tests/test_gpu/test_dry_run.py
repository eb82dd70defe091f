"""benchmarks/speed/gpu.py --cpu-dry-run: every step runs, and what the goals need is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from speed import gpu
from speed.gpu_steps import STEPS

from ..mock_gpu import on_mock_gpu

SCRIPT = Path(__file__).resolve().parents[2] / 'benchmarks/speed/gpu.py'
MEASURED = {
    4: ('training step, batch 1, 96 x 128', 'training step, batch 1, 100 classes'),
    5: ('goals of inference', 'ours, batch 1, with metric', 'stock, batch 1, without metric'),
    2: ('waits in two images of training, IIF', 'waits in two images of test, IIF'),
}


def arguments(steps: list[int], folder: Path) -> list[str]:
    options = ['--cpu-dry-run', '--budget', '1500', '--out', str(folder)]
    return [str(SCRIPT), *options, '--steps', ','.join(map(str, steps))]


def rows_of(steps: list[int], folder: Path) -> list[dict]:
    """What was measured; all steps held."""
    content = json.loads((folder / 'gpu.json').read_text())
    assert {step['step']: step['status'] for step in content['steps']} == dict.fromkeys(
        steps, 'held'
    )
    return content['rows']


def dry_run(steps: list[int], folder: Path) -> list[dict]:
    command = [sys.executable, *arguments(steps, folder)]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return rows_of(steps, folder)


def check_goals(rows: list[dict]) -> None:
    for step, stages in MEASURED.items():
        found = [row['stage'] for row in rows if row['step'] == step]
        for stage in stages:
            assert any(name.startswith(stage) for name in found), stage


@on_mock_gpu
def test_steps_of_cost(tmp_path, monkeypatch):
    """Training, inference and waiting; step 1 is test_agreement.py."""
    steps = [4, 5, 2]
    monkeypatch.setattr(sys, 'argv', arguments(steps, tmp_path))
    with torch.random.fork_rng():
        assert gpu.main() == 0
    check_goals(rows_of(steps, tmp_path))


def test_other_steps(tmp_path):
    """All but those above, and that of several processes, which takes as long as the others."""
    steps = sorted(set(STEPS) - {1, 2, 4, 5, 7})
    assert {row['step'] for row in dry_run(steps, tmp_path)} == set(steps)


@pytest.mark.slow
def test_every_step(tmp_path):
    rows = dry_run(list(STEPS), tmp_path)
    check_goals(rows)
    assert {row['step'] for row in rows} == set(STEPS)
