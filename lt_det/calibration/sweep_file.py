"""``sweep.csv``: the metrics of every setting on the held-out images."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence

from .files import whole_file
from .selection import Selection
from .settings import Setting


def write_sweep(path: str | os.PathLike, settings: Sequence[Setting], selection: Selection) -> None:
    """Write a row per setting: name, family, strength, metrics; empty where nothing is to find."""
    names = list(selection.metrics[0])
    with whole_file(path) as part, part.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['name', 'family', 'strength', *names])
        for setting, metrics in zip(settings, selection.metrics, strict=True):
            values = ['' if metrics[name] is None else f'{metrics[name]:.6f}' for name in names]
            writer.writerow([setting.name, setting.family, setting.strength, *values])
