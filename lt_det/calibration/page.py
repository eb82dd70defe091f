"""``calibration.html``: the answer of a calibration for people, from its two files alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..errors import BadInputError
from ..formats.files import write_text
from ..report.page.colours import colours
from ..version import __version__
from . import page_words as words
from .choice import Choice, read_choice
from .page_plots import class_plot, strength_plot
from .sweep_file import SweepRow, read_sweep

MINUS = '\N{MINUS SIGN}'
_LARGEST = 20  # gains and losses that are listed

STYLE = """
.calibration { --chosen: light-dark(#f0e442, #6b6300); max-width: 66rem; }
.calibration .answer { font-size: 1.25rem; border-left: .4rem solid var(--up); padding-left: 1rem; }
.calibration .answer.leave { border-color: var(--all); }
.calibration svg { height: auto; max-width: max(100%, 44rem); fill: currentColor; }
.calibration svg * { stroke-linejoin: round; stroke-linecap: butt; }
.calibration .scroll { overflow: auto hidden; }
.calibration table { border-collapse: collapse; margin: .5rem 0 1rem; }
.calibration th, .calibration td { padding: .15rem .7rem; text-align: right; }
.calibration th { border-bottom: 1px solid var(--soft); vertical-align: bottom; }
.calibration th:first-child, .calibration td:first-child { text-align: left; }
.calibration td { border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
.calibration td:first-child { min-width: min(16rem, 32vw); white-space: normal; }
.calibration td + td { white-space: nowrap; }
.calibration tr.metric td { font-weight: bold; }
.calibration .pair { display: flex; flex-wrap: wrap; gap: 0 3rem; }
.calibration .pair > * { max-width: 100%; }
.calibration .small { font-size: .875rem; color: var(--soft); }
.calibration p, .calibration li { overflow-wrap: anywhere; }
.calibration code { overflow-wrap: anywhere; }
"""
# of a page that has nothing else
_PAGE_STYLE = """
body { margin: 1.5rem; background: var(--page); color: var(--text); }
body { font: 16px/1.5 system-ui, sans-serif; }
@media print { :root { color-scheme: light; } }
"""


def write_page(folder: str | os.PathLike) -> Path:
    """Write ``calibration.html`` beside the ``choice.json`` and ``sweep.csv`` that it shows.

    It is one file that needs no other, no network and no scripts.

    Raises:
        MissingFileError: One of the two is not in the folder.
        BadInputError: One of them is not what ``lt_det calibrate`` wrote, or they are of two runs.
    """
    choice = read_choice(Path(folder, 'choice.json'))
    sweep = read_sweep(Path(folder, 'sweep.csv'))
    if [row.name for row in sweep] != choice.selection.get('settings'):
        raise BadInputError(
            f'{Path(folder, "sweep.csv")}: settings are not those of choice.json beside it; '
            'expected two files of one run of lt_det calibrate'
        )
    path = Path(folder, 'calibration.html')
    write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Calibration</title><style>{colours()}{_PAGE_STYLE}{STYLE}</style></head>\n'
        f'<body>{calibration_section(choice, sweep)}</body></html>\n',
    )
    return path


def calibration_section(choice: Choice, sweep: Sequence[SweepRow]) -> str:
    """The page without its head, to be part of another one.

    That has :data:`STYLE` and the properties of :func:`lt_det.report.page.colours.colours`.

    Args:
        choice: What ``choice.json`` holds.
        sweep: What ``sweep.csv`` holds: settings (S) in the order of the selection.

    Raises:
        BadInputError: They are not of one calibration, or were changed by hand.
    """
    try:
        return _section(choice, sweep)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInputError(
            f'choice.json and sweep.csv cannot be shown ({error!r}); expected both as lt_det '
            'calibrate wrote them'
        ) from error


def _section(choice: Choice, sweep: Sequence[SweepRow]) -> str:
    kept = ' and '.join(f'{name} by more than {loss:g}' for name, loss in choice.keep.items())
    kept = f'Hollow: lowers {kept}, which is more than allowed. ' if kept else ''
    parts = [
        '<section class="calibration"><h2>Calibration: rare classes without training</h2>',
        _answer(choice),
        '<h3>What it is worth</h3>',
        _metrics_table(choice),
        _masks(choice),
        _paragraph(_judged(choice)),
        _paragraph(words.CROSS_FITTED),
        '<h3>What was tried</h3>',
        _scrolled(strength_plot(choice, sweep)),
        _paragraph(words.STRENGTH_CAPTION.format(kept=kept)),
        _rules(sweep),
        _classes(choice),
        _how(choice),
        '</section>',
    ]
    return '\n'.join(part for part in parts if part)


def _answer(choice: Choice) -> str:
    selection = choice.selection
    name, gain = choice.setting['name'], selection['gains'][choice.metric]
    if choice.fold:
        text = (
            f'Take <b>{escape(name)}</b>: what is chosen in this way raises {choice.metric} by '
            f'{gain["gain"]:.4f} on images that it was not chosen on (95% interval '
            f'{_interval(gain)}).'
        )
    else:
        text = f'Leave the model as it is: {escape(choice.reason)}.'
    compared = (
        f'{len(selection["settings"])} settings were compared on '
        f'{selection["num_images"]["all"]} images that the model was not trained on.'
    )
    candidate = selection['settings'][selection['candidate']]
    if not choice.fold and candidate != 'identity':
        compared += f' The best candidate was {candidate}.'
    return f'<p class="answer{"" if choice.fold else " leave"}">{text}</p>{_paragraph(compared)}'


def _judged(choice: Choice) -> str:
    if choice.kind == 'classifier':
        return words.CLASSIFIER
    what = {'segm': 'by their mask', 'bbox': 'by their box'}.get(choice.iou_type, 'by box or mask')
    return words.DETECTOR.format(what=what)


def _metrics_table(choice: Choice) -> str:
    """Each metric before and after, the gain where it was not chosen, and what it stands on."""
    selection = choice.selection
    identity, candidate = selection['settings'].index('identity'), selection['candidate']
    before, after = selection['metrics'][identity], selection['metrics'][candidate]
    positives = selection['positives']
    counted = list(next(iter(positives.values())))
    objects = next((key for key in ('annotations', 'images') if key in counted), None)
    head = ['', 'as it is']
    if candidate != identity:
        head += ['as chosen' if choice.fold else 'best candidate<br>(not taken)', 'change']
    head += ['cross-fitted gain<br>(95% interval)', 'stands on']
    rows = []
    for name, value in before.items():
        gain = selection['gains'][name]
        cells = [f'<b>{name}</b><br><span class="small">{words.METRICS[name]}</span>']
        cells += [_number(value)]
        if candidate != identity:
            cells += [_number(after[name]), _number(_change(value, after[name]), '+')]
        cells.append(f'{_number(gain["gain"], "+")}<br>({_interval(gain)})')
        number = f'{positives[name]["classes"]} classes'
        cells.append(number + (f'<br>{positives[name][objects]} {objects}' if objects else ''))
        rows.append(cells)
    return _table(head, rows, bold=list(before).index(choice.metric))


def _masks(choice: Choice) -> str:
    """What a choice by boxes does to masks."""
    if choice.masks is None:
        return ''
    before, after = choice.masks['before'], choice.masks['after']
    rows = [
        [f'<b>{k}</b>', _number(v), _number(after[k]), _number(_change(v, after[k]), '+')]
        for k, v in before.items()
    ]
    text = 'The setting was chosen by boxes. Of the masks of the same detections:'
    return _paragraph(text) + _table(['', 'as it is', 'as chosen', 'change'], rows)


def _classes(choice: Choice) -> str:
    """What changes for single classes, where the candidate changes anything."""
    selection, counts = choice.selection, choice.per_class
    identity = selection['settings'].index('identity')
    if selection['candidate'] == identity or not counts:
        return ''
    objects = 'annotations' if 'annotations' in counts else 'images'
    head = ['class', 'training images', f'held-out {objects}', 'as it is', 'after', 'change']
    values = zip(
        choice.classes,
        choice.image_count,
        counts[objects],
        selection['before'],
        selection['after'],
    )
    rows = [(*row, _change(row[3], row[4])) for row in values]
    judged = sorted((row for row in rows if row[5] is not None), key=lambda row: -row[5])
    if not judged:
        return ''
    name = selection['settings'][selection['candidate']]
    ups = [row for row in judged if row[5] > 0]
    downs = [row for row in judged[::-1] if row[5] < 0]
    text = (
        f'With {name}, {len(ups)} of {len(judged)} classes rise and {len(downs)} fall, on the '
        'images that it was chosen on.'
    )
    if len(rows) > len(judged):
        text += f' Not shown: those with nothing to find there ({len(rows) - len(judged)}).'
    pair = ''.join(
        f'<div><h4>{title}</h4>{_table(head, map(_cells, part[:_LARGEST]))}</div>'
        for title, part in (('Largest gains', ups), ('Largest losses', downs))
        if part
    )
    every = _table(head, (_cells(row) for row in judged))
    return (
        f'<h3>Class by class</h3>{_paragraph(text)}{_scrolled(class_plot(choice))}'
        f'{_paragraph(words.CLASS_CAPTION.format(objects=objects))}<div class="pair">{pair}</div>'
        f'<details><summary>All {len(judged)} classes</summary>{every}</details>'
    )


def _cells(row: tuple) -> list[str]:
    name, images, objects, before, after, change = row
    numbers = (f'{before:.3f}', f'{after:.3f}', f'{change:+.3f}'.replace('-', MINUS))
    return [escape(name), str(images), str(objects), *numbers]


def _rules(sweep: Sequence[SweepRow]) -> str:
    """What the rules do that were tried."""
    families = ' '.join(row.family for row in sweep)
    texts = [
        f'<li><b>{name}</b> {escape(text)}</li>'
        for name, text in words.RULES.items()
        if name in families
    ]
    return f'<div class="small">{words.LOGIT}<ul>{"".join(texts)}</ul></div>' if texts else ''


def _how(choice: Choice) -> str:
    """What was chosen how and from which files, in small print."""
    selection = choice.selection
    names, picks = selection['settings'], selection['picks']
    keep = ', '.join(f'{name} may fall by {loss:g}' for name, loss in choice.keep.items())
    lines = [
        f'Chosen for: {choice.metric}; {keep or "no other metric was asked to stay"}.',
        f'Best on all images: {names[picks["all"]["best"]]}, of {picks["all"]["kept"]} settings '
        'that keep what is to be kept; the weakest of its kind that is worse by at most one '
        f'standard error: {names[picks["all"]["number"]]}.',
        f'Chosen on the halves ({selection["num_images"]["first"]} and '
        f'{selection["num_images"]["second"]} images): {names[picks["first"]["number"]]} and '
        f'{names[picks["second"]["number"]]}.',
        f'Images were drawn anew {selection["resamples"]} times; seed {selection["seed"]}; '
        f'training statistics of {choice.num_images} images; lt_det {__version__}.',
        f'Config {choice.config}, checkpoint {choice.checkpoint}.',
    ]
    hashes = ''.join(
        f'<li>{escape(name)}: <code>{escape(value or "no such file")}</code></li>'
        for name, value in choice.sha256.items()
    )
    return (
        f'<div class="small"><h3>How it was chosen</h3>{"".join(map(_paragraph, lines))}'
        f'<p>SHA-256 of the files:</p><ul>{hashes}</ul></div>'
    )


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _number(value: float | None, sign: str = '') -> str:
    return '–' if value is None else f'{value:{sign}.4f}'.replace('-', MINUS)


def _interval(gain: dict) -> str:
    ends = gain['interval'] or (None, None)
    return ' to '.join(_number(end, '+') for end in ends)


def _paragraph(text: str) -> str:
    return f'<p>{escape(text)}</p>'


def _scrolled(html: str) -> str:
    """What may be wider than the window."""
    return f'<div class="scroll" tabindex="0">{html}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], bold: int | None = None) -> str:
    """A table of cells that are html; closing tags that html does not ask for are left out."""
    lines = [f'<tr{" class=metric" * (n == bold)}><td>{"<td>".join(r)}' for n, r in enumerate(rows)]
    table = f'<table><tr><th>{"<th>".join(head)}\n' + '\n'.join(lines) + '</table>'
    return _scrolled(table)
