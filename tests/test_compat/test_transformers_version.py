"""MMPretrain is imported beside any version of transformers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_transformers_5_does_not_end_the_import(tmp_path):
    version = '5.17.0'
    info = tmp_path / f'transformers-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: transformers\nVersion: {version}')
    package = tmp_path / 'transformers'
    package.mkdir()
    (package / '__init__.py').write_text('')  # without the names that MMPretrain looks for
    code = (
        'import gc; gc.disable()\n'
        'import lt_det\n'
        'from mmpretrain.registry import MODELS\n'
        'from mmpretrain.utils import dependency\n'
        'assert not dependency.WITH_MULTIMODAL\n'
        'assert MODELS.get("LongTailClsHead") is not None\n'
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), str(ROOT), os.environ.get('PYTHONPATH')]))
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
