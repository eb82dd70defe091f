"""``sweep.csv``: the metrics of every setting on the held-out images."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BadInputError, MissingFileError
from ..formats.files import whole_file
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


@dataclass(frozen=True)
class SweepRow:
    """A setting as ``sweep.csv`` has it.

    Args:
        name, family, strength: Of the setting.
        metrics: By name; None where nothing is to find.
    """

    name: str
    family: str
    strength: float
    metrics: dict[str, float | None]


def read_sweep(path: str | os.PathLike) -> list[SweepRow]:
    """Read what :func:`write_sweep` wrote.

    Raises:
        MissingFileError: There is no such file.
        BadInputError: A column is not there, or a value is no number.
    """
    try:
        with open(path, newline='', encoding='utf-8') as file:
            records = list(csv.DictReader(file))
    except (FileNotFoundError, IsADirectoryError):
        raise MissingFileError(
            f'sweep {path} does not exist; expected the sweep.csv that lt_det calibrate wrote'
        ) from None
    except UnicodeDecodeError as error:
        raise BadInputError(f'{path}: not a text file: {error}') from None
    rows = []
    for line, record in enumerate(records, 2):
        values = {k: v for k, v in record.items() if k not in ('name', 'family', 'strength')}
        try:
            rows.append(
                SweepRow(
                    record['name'],
                    record['family'],
                    float(record['strength']),
                    {name: float(value) if value else None for name, value in values.items()},
                )
            )
        except KeyError as error:
            raise BadInputError(f'{path}: there is no column {error.args[0]}') from None
        except (TypeError, ValueError) as error:
            raise BadInputError(f'{path}: line {line}: {error}') from None
    return rows
