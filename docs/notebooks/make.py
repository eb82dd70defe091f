"""Make notebooks of the scripts in this folder, and run them: python docs/notebooks/make.py

A script is in the percent format of Jupytext, which many editors open as a notebook: '# %%' begins
a cell, '# %% [markdown]' one of text. The notebook (nbformat 4.5) holds what its cells print.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CELL = re.compile(r'^# %%( \[markdown\])?\n', re.MULTILINE)


def main() -> None:
    for script in sorted(FOLDER.glob('*.py')):
        if script != Path(__file__).resolve():
            notebook = executed(script)
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'
            script.with_suffix('.ipynb').write_text(text, encoding='utf-8')


def cells(script: Path) -> list[tuple[str, str]]:
    """Kind ('markdown' or 'code') and source of each cell."""
    _, *parts = CELL.split(script.read_text(encoding='utf-8'))
    found = []
    for mark, body in zip(parts[::2], parts[1::2]):
        body = body.strip('\n')
        if mark:
            body = re.sub(r'^# ?', '', body, flags=re.MULTILINE)
        found.append(('markdown' if mark else 'code', body))
    return found


def notebook_of(script: Path, outputs: list[str] | None = None) -> dict:
    """The notebook of a script, with what each of its cells printed."""
    content = []
    for number, (kind, source) in enumerate(cells(script)):
        cell = dict(cell_type=kind, id=f'cell-{number}', metadata={}, source=lines(source))
        if kind == 'code':
            text = outputs[number] if outputs else ''
            stream = dict(output_type='stream', name='stdout', text=lines(text))
            cell.update(execution_count=None, outputs=[stream] if text else [])
        content.append(cell)
    kernel = dict(display_name='Python 3', language='python', name='python3')
    return dict(cells=content, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def executed(script: Path) -> dict:
    """The notebook of a script that was run in an empty folder.

    The command ``lt_det`` is that of this interpreter. Paths of the folder stay out of the outputs.
    """
    names: dict = {}
    outputs = []
    here, path = Path.cwd(), os.environ['PATH']
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)
            os.environ['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{path}'
            for kind, source in cells(script):
                printed = io.StringIO()
                if kind == 'code':
                    with redirect_stdout(printed):
                        exec(compile(source, script.name, 'exec'), names)
                outputs.append(printed.getvalue().replace(f'{Path(folder).resolve()}/', ''))
        finally:
            os.chdir(here)
            os.environ['PATH'] = path
    return notebook_of(script, outputs)


if __name__ == '__main__':
    main()
