"""The files of ``tests/data`` are those that their script writes."""

from __future__ import annotations

import subprocess
import sys

from .conftest import DATA


def test_the_script_writes_the_files(tmp_path):
    script = tmp_path / 'make.py'
    script.write_text((DATA / 'make.py').read_text())
    subprocess.run([sys.executable, script], check=True)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in DATA.iterdir() if path.is_file()}
    for name in written:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), name
