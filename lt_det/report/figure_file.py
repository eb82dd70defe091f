"""Figures in files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..formats.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: str | Path, dpi: float | None = None) -> None:
    """Write a figure in the format of the ending of its file.

    Args:
        figure: What is drawn.
        path: The picture; a .png where it has no ending.
        dpi: Pixels per inch; None: those of the figure.

    Raises:
        UserError: It cannot be written, as on a full disk; what was there stays.
    """
    with whole_file(path) as part:
        figure.savefig(part, format=Path(path).suffix[1:] or 'png', dpi=dpi or 'figure')
