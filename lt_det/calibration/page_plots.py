"""Plots of a calibration: metrics against the strength of rules, and what changed for each class.

Each returns an SVG element for a page with the properties of ``lt_det.report.page.colours``: lines
and letters take the colour of its text, and groups of classes look as they do everywhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..report.plots import GROUP_COLOURS
from .choice import Choice
from .sweep_file import SweepRow

# the mean of all, and the groups from the rarest on: colours and marks of the report page
STYLES = (('#000000', 'D'), *zip(GROUP_COLOURS.values(), '^so'))
_SOFT, _CHOSEN = '#4d4d4d', '#f0e442'
# what each colour of a plot is on a page
_PROPERTIES = {
    '#000000': 'currentColor',
    '#ffffff': 'var(--page)',
    _SOFT: 'var(--soft)',
    _CHOSEN: 'var(--chosen)',
    **dict(zip(GROUP_COLOURS.values(), ('var(--rare)', 'var(--common)', 'var(--frequent)'))),
}
ORDER = ('AP', 'APr', 'APc', 'APf', 'macro', 'few', 'medium', 'many')
SINGLE = 'one strength only'  # panel of the families with a single setting
_COLUMNS = 4
_LABELS = 14  # of combinations, that a panel has room for
_METADATA = ('Creator', 'Date', 'Format', 'Type')
_RASTER = 1500  # points; above, an SVG of each is larger than a picture


def metric_styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each metric."""
    return {name: STYLES[ORDER.index(name) % len(STYLES)] for name in ORDER if name in names}


def known(value: float | None) -> float:
    """NaN for None, as numpy has it."""
    return np.nan if value is None else value


def breaks_keep(metrics: Mapping, identity: Mapping, keep: Mapping[str, float]) -> bool:
    """Whether a metric is lower than that of the identity by more than it may be."""
    return any(known(metrics[k]) < known(identity[k]) - loss for k, loss in keep.items())


def panels(sweep: Sequence[SweepRow]) -> dict[str, list[int]]:
    """Numbers of the settings of each panel: those of a family, and what has but one strength."""
    families: dict[str, list[int]] = {}
    for number, row in enumerate(sweep):
        if row.family != 'identity':
            families.setdefault(row.family, []).append(number)
    single = [numbers[0] for numbers in families.values() if len(numbers) == 1]
    several = {name: numbers for name, numbers in families.items() if len(numbers) > 1}
    return {**several, **({SINGLE: single} if single else {})}


def arguments(row: SweepRow) -> dict[str, float]:
    """What says how strong each rule of a setting is, by name; ``strength`` where nothing does."""
    matches = (re.search(r'(\w+)=([\d.e+-]+)[,)]', rule) for rule in row.name.split(' + '))
    pairs = [(match[1], float(match[2])) for match in matches if match]
    names = [name for name, _ in pairs]
    if not pairs:
        return {'strength': row.strength}
    if len(set(names)) < len(names):  # of two rules
        names = [f'{name} {place}' for place, name in enumerate(names, 1)]
    return dict(zip(names, (value for _, value in pairs)))


def strength_plot(choice: Choice, sweep: Sequence[SweepRow]) -> str:
    """Change of each metric over the model as it is, a panel for each family of rules.

    Args:
        choice: What was chosen.
        sweep: Settings (S), in the order of ``choice.selection['settings']``.
    """
    selection = choice.selection
    metrics = selection['metrics']
    identity = metrics[selection['settings'].index('identity')]
    styles = metric_styles(list(identity))
    # (S,) of each metric
    changes = {
        name: np.array([known(row[name]) - known(identity[name]) for row in metrics])
        for name in styles
    }
    broken = np.array([breaks_keep(row, identity, choice.keep) for row in metrics])
    shown = panels(sweep)
    rows = max(1, -(-len(shown) // _COLUMNS))
    figure = Figure(figsize=(11, 0.75 + 2.6 * rows), layout='constrained')
    axes = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False).ravel()
    for ax, (family, numbers) in zip(axes, shown.items()):
        of_family = {name: values[numbers] for name, values in changes.items()}
        x = _panel(ax, family, [sweep[n] for n in numbers], of_family, broken[numbers])
        if selection['candidate'] in numbers:
            _mark(ax, x[numbers.index(selection['candidate'])], choice.fold)
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    _limit(axes[0], np.concatenate(list(changes.values())))
    for ax in axes[::_COLUMNS]:
        ax.set_ylabel('change')
    _legend(figure, styles, choice)
    label = f'Change of {", ".join(styles)} against the strength of rules'
    return _svg(figure, 'strength', label)


def _panel(
    ax: Axes, family: str, rows: list[SweepRow], changes: dict[str, np.ndarray], broken: np.ndarray
) -> np.ndarray:
    """Draw the settings of a family; where each is on the x axis.

    One argument is a number on the axis. Of several there is a place for each combination, and a
    line joins those that differ in the last argument alone.
    """
    ax.set_title(fill(family, 30), fontsize=9)
    ax.tick_params(labelsize=8)
    ax.axhline(0, color=_SOFT, linestyle='--', linewidth=1)
    given = [arguments(row) for row in rows]
    values = [tuple(of_row.values()) for of_row in given]
    if family == SINGLE:
        x = np.arange(len(rows), dtype=float)
        ax.set_xticks(x, [row.family for row in rows], fontsize=7, rotation=30, ha='right')
        lines = [[n] for n in range(len(rows))]
    elif len(given[0]) == 1:
        x = np.array([value for (value,) in values])
        ax.set_xlabel(next(iter(given[0])), fontsize=8)
        lines = [np.argsort(x, kind='stable').tolist()]
    else:
        order = sorted(range(len(rows)), key=values.__getitem__)
        x = np.empty(len(rows))
        x[order] = np.arange(len(rows))
        step = -(-len(rows) // _LABELS)
        labels = [', '.join(f'{value:g}' for value in values[n]) for n in order[::step]]
        ax.set_xticks(np.arange(len(rows))[::step], labels, fontsize=7, rotation=90)
        ax.set_xlabel(', '.join(given[0]), fontsize=8)
        lines = [list(part) for _, part in groupby(order, key=lambda n: values[n][:-1])]
    for name, changed in changes.items():
        colour, marker = metric_styles([name])[name]
        for line in lines:
            ax.plot(x[line], changed[line], color=colour, linewidth=1)
        face = np.where(broken, 'white', colour)
        ax.scatter(x, changed, s=16, marker=marker, c=face, edgecolors=colour, zorder=3)
    return x


def _mark(ax: Axes, x: float, taken: bool) -> None:
    """Mark the setting that was chosen."""
    ax.axvline(x, color=_CHOSEN, linewidth=9, alpha=0.7, zorder=0)
    ax.set_title(
        f'{ax.get_title()}\n{"chosen" if taken else "best, but not taken"}',
        fontsize=9,
        fontweight='bold',
    )


def _limit(ax: Axes, changes: np.ndarray) -> None:
    """Show all that is gained, and of what is lost no more than is of interest."""
    changes = changes[~np.isnan(changes)]
    high, low = max(changes.max(initial=0), 0.005), changes.min(initial=0)
    low = max(low, -max(1.2 * high, 0.02))
    margin = 0.06 * (high - low)
    ax.set_ylim(low - margin, high + margin)


def _legend(figure: Figure, styles: Mapping[str, tuple[str, str]], choice: Choice) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=1, markersize=5, label=name)
        for name, (colour, marker) in styles.items()
    ]
    handles.append(Line2D([], [], color=_SOFT, linestyle='--', linewidth=1, label='as it is'))
    if choice.keep:
        label = 'loses more than allowed'
        hollow = dict(linestyle='', marker='o', markerfacecolor='white', markersize=5)
        handles.append(Line2D([], [], color=_SOFT, label=label, **hollow))
    figure.legend(
        handles=handles, loc='outside upper center', ncols=len(handles), frameon=False, fontsize=9
    )


def class_plot(choice: Choice) -> str:
    """Change of each class that has something to find against its training images.

    The larger a point, the more of it the held-out images hold.
    """
    counts = choice.per_class
    before, after = (
        np.array([known(value) for value in choice.selection[key]]) for key in ('before', 'after')
    )
    held = np.array(counts.get('annotations', counts['images']))
    images = np.maximum(choice.image_count, 0.5)  # 0 has no logarithm
    group = np.array(counts['group'])
    size = 12 + 40 * np.sqrt(held / max(held.max(), 1))
    change = after - before
    judged = ~np.isnan(change)
    figure = Figure(figsize=(9, 4), layout='constrained')
    ax = figure.subplots()
    ax.axhline(0, color=_SOFT, linestyle='--', linewidth=1)
    for name, (colour, marker) in metric_styles(group.tolist()).items():
        chosen = judged & (group == name)
        if not chosen.any():
            continue
        mean = change[chosen].mean()
        ax.scatter(
            images[chosen],
            change[chosen],
            s=size[chosen],
            color=colour,
            marker=marker,
            alpha=0.55,
            linewidths=0,
            rasterized=judged.sum() > _RASTER,
            label=f'{name}: mean {mean:+.3f} ({chosen.sum()} classes)',
        )
        ends = images[chosen].min() / 1.1, images[chosen].max() * 1.1
        ax.hlines(mean, *ends, color=colour, linewidth=2.5)
    ax.set(xscale='log', xlabel='training images of the class', ylabel='change')
    ax.xaxis.set_major_formatter('{x:g}')
    ax.margins(y=0.08)
    legend = figure.legend(loc='outside upper center', ncols=4, frameon=False, fontsize=9)
    for handle in legend.legend_handles:
        handle.set_sizes([30])
    label = f'Change of {judged.sum()} classes against their training images'
    return _svg(figure, 'classes', label)


def _svg(figure: Figure, name: str, label: str) -> str:
    """The same text for the same figure.

    Args:
        figure: The plot.
        name: Of its own on the page, for the ids in it.
        label: What it shows, for those who do not see it.
    """
    file = io.StringIO()
    with rc_context({'svg.hashsalt': 'lt_det', 'svg.fonttype': 'path'}):
        figure.savefig(file, format='svg', dpi=150, metadata=dict.fromkeys(_METADATA))
    text = file.getvalue()
    text = text[text.index('<svg') :].strip()
    text = re.sub(r'<!--.*?-->|<style.*?</style>|\sxmlns(:\w+)?="[^"]*"', '', text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf'\1{name}-', text)
    for colour, value in _PROPERTIES.items():
        text = text.replace(colour, value)
    return text.replace('<svg', f'<svg role="img" aria-label="{escape(label)}"', 1)
