"""The colours of all pages: light and dark, and those of the groups of classes."""

from __future__ import annotations

from pathlib import Path

from ..plots import GROUP_COLOURS


def colours() -> str:
    """A style sheet of properties: ``--text``, ``--page``, ..., ``--rare``, ``--common``, ...

    The groups have the colours of the plots of this package.
    """
    names = zip(('rare', 'common', 'frequent'), GROUP_COLOURS.values())
    groups = ':root {' + ' '.join(f'--{name}: {colour};' for name, colour in names) + '}\n'
    return groups + Path(__file__).with_name('colours.css').read_text(encoding='utf-8')
