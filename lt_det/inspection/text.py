"""An inspection as a page of text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from . import Inspection
from .classes import ClassSummary
from .kinds import CHOSEN_BY_INIT
from .problems import Problem

WIDTH = 100


def format_inspection(inspection: Inspection) -> str:
    """The page: data, classes, problems, recommendation."""
    return '\n'.join(_lines(inspection))


def _lines(inspection: Inspection) -> Iterator[str]:
    if inspection.classes is not None:
        yield from _classes(inspection.classes, inspection)
    if 'val' in inspection.files:
        val = inspection.files['val']
        yield inspection.val
        yield (
            f'  {_count(val.num_images, "image")}, {_count(val.num_annotations, "annotation")}, '
            f'{_count(val.num_classes, "class", "classes")}, evaluated by the rules of '
            f'{val.protocol.upper()}'
        )
    lost = [problem for problem in inspection.problems if problem.lost]
    rest = [problem for problem in inspection.problems if not problem.lost]
    for title, problems in (('lost or refused', lost), ('to know', rest)):
        if problems:
            yield ''
            yield f'{title}: {len(problems)} {"kinds" if len(problems) > 1 else "kind"}'
            for problem in problems:
                yield from _problem(problem)
    if not lost:
        yield ''
        yield 'nothing is lost or refused'
    advice = inspection.advice
    if advice is not None:
        yield ''
        yield f'recommendation: {advice.method}'
        for reason in advice.reasons:
            yield from _wrapped(reason, '  - ', '    ')
        mend = any(p.refused and p.kind not in CHOSEN_BY_INIT for p in inspection.problems)
        yield f'{"when that is mended" if mend else "next"}:  {advice.command}'


def _classes(classes: ClassSummary, inspection: Inspection) -> Iterator[str]:
    yield inspection.train
    masks = f'{classes.with_masks:,} with a mask' if classes.with_masks else 'no masks'
    yield (
        f'  {_count(classes.num_images, "image")}, {_count(classes.num_annotations, "annotation")} '
        f'({masks}), of which training learns {classes.num_instances:,}'
    )
    without = f', {classes.without_images:,} without an image' if classes.without_images else ''
    yield f'  {_count(classes.num_classes, "class", "classes")}{without}'
    if classes.imbalance_images is None:
        return
    yield (
        f'  imbalance, largest : smallest class: {classes.imbalance_images:,.4g} in images, '
        f'{classes.imbalance_instances:,.4g} in instances'
    )
    yield f'  {_groups(classes.groups, classes.bounds)}'
    if max(classes.groups.values()) == sum(classes.groups.values()):
        yield '  all in one group' + (
            f'; proposed: {_groups(classes.proposed_groups, classes.proposed_bounds)}'
            if classes.proposed_bounds
            else ', and too few different counts for three'
        )
    for title, rows in (('rarest', classes.rarest), ('largest', classes.largest)):
        names = ', '.join(f'{row["name"]} {row["images"]:,}/{row["instances"]:,}' for row in rows)
        yield from _wrapped(f'{title} (images/instances): {names}', '  ', '    ')


def _groups(groups: dict[str, int], bounds: tuple[int, int]) -> str:
    rare, common = bounds
    return (
        f'{groups["rare"]:,} rare (training images: up to {rare:,}), {groups["common"]:,} common '
        f'(up to {common:,}), {groups["frequent"]:,} frequent'
    )


def _problem(problem: Problem) -> Iterator[str]:
    cases = [*map(str, problem.first), *['...'] * (problem.count > len(problem.first) > 0)]
    said = problem.text in map(str, problem.first)  # which follows
    first = f' ({", ".join(cases)})' if cases and not said else ''
    where = {'both': 'train and val'}.get(problem.file, problem.file)
    yield from _wrapped(f'{where}: {problem.title}: {problem.count:,}{first}', '  ', '    ')
    if problem.text != problem.title:
        yield from _wrapped(problem.text, '    ', '      ')
    effects = [('training', problem.training), ('evaluation', problem.evaluation)]
    if problem.training == problem.evaluation:
        effects = [('both', problem.training)]
    for name, (what, text) in effects:
        yield from _wrapped(f'{name}: {what} ({text})', '    ', '      ')


def _count(number: int, noun: str, nouns: str = '') -> str:
    return f'{number:,} {noun if number == 1 else nouns or noun + "s"}'


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
