"""The page of ``calibration.py``."""

from __future__ import annotations

import statistics
from collections import Counter

from common.origin import spread

KEYS = ('AP', 'APr', 'APc', 'APf')
ROLES = {
    'chosen': 'the answer (the model as it is where nothing is folded)',
    'candidate': 'the choice, folded in any case',
    'oracle': 'best on the other half',
}
# what the detections of an image are exchanged with
EXCHANGED = {
    'annotations': 'the detections of an image are scored against the annotations of an image '
    'drawn at random, on both halves, where hardly anything is found',
    'settings': "on each image the settings have each other's detections, in an order drawn for "
    'it, so that none is better than another',
}


def report(content: dict) -> str:
    """The page of the json."""
    rows = content['rows']
    seeds = sorted({row['seed'] for row in rows})
    lines = [
        '# Post-hoc rules for a trained detector, chosen on held-out images',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}; '
        f'`{content["command"]}`.',
        '',
        'Mask R-CNN with softmax on glyphs `small`, AP of boxes, 0 to 1. What is measured: the '
        'head of benchmarks/methods/calibration.py. For classifiers see '
        '[calibration_classifiers](calibration_classifiers.md).',
        '',
        '## Gains on images that were not looked at',
        '',
        f'Seeds {", ".join(map(str, seeds))}, {content["splits"]} random splits each: chosen on '
        'one half of the 200 validation images (split by their rarest class), scored on the other. '
        'Mean ± standard deviation of the gain over the model as it is. AP is chosen with APf at '
        'most 0.005 lower on the held-out half, APr with AP not lower.',
        '',
        '| chosen for | | folded | AP | APr | APc | APf | AP not lower |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for metric in dict.fromkeys(row['metric'] for row in rows):
        part = [row for row in rows if row['metric'] == metric and not row['control']]
        lines += [_gains(part, metric, role) for role in ROLES]
    lines += ['', *_by_seed(rows, seeds), '', *_counts(rows)]
    if any(row['control'] for row in rows):
        lines += ['', *_control(rows)]
    if 'equal' in content:
        lines += ['', *_equal(content['equal'])]
    if 'speed' in content:
        lines += ['', *_speed(content['speed'])]
    return '\n'.join([*lines, ''])


def gain(row: dict, role: str, key: str) -> float:
    return row['test'][role][key] - row['test']['identity'][key]


def _gains(rows: list[dict], metric: str, role: str) -> str:
    folded = sum(row['fold'] for row in rows) if role == 'chosen' else len(rows)
    cells = [spread([gain(row, role, key) for row in rows]) for key in KEYS]
    kept = sum(gain(row, role, 'AP') >= 0 for row in rows)
    number = '-' if role == 'oracle' else f'{folded} of {len(rows)}'
    return f'| {metric} | {ROLES[role]} | {number} | {" | ".join(cells)} | {kept} of {len(rows)} |'


def _by_seed(rows: list[dict], seeds: list[int]) -> list[str]:
    lines = [
        'By seed; what is folded where nothing kept it back:',
        '',
        '| seed | chosen for | AP as it is | APr as it is | folded | gain of AP | gain of APr |',
        '|---|---|---|---|---|---|---|',
    ]
    for seed in seeds:
        for metric in dict.fromkeys(row['metric'] for row in rows):
            part = [
                row
                for row in rows
                if (row['seed'], row['metric'], row['control']) == (seed, metric, None)
            ]
            cells = [spread([row['test']['identity'][key] for row in part]) for key in KEYS[:2]]
            cells.append(f'{sum(row["fold"] for row in part)} of {len(part)}')
            cells += [spread([gain(row, 'candidate', key) for row in part]) for key in KEYS[:2]]
            lines.append(f'| {seed} | {metric} | {" | ".join(cells)} |')
    return lines


def _counts(rows: list[dict]) -> list[str]:
    lines = []
    for metric in dict.fromkeys(row['metric'] for row in rows):
        names = Counter(
            row['settings']['candidate']
            for row in rows
            if row['metric'] == metric and not row['control']
        )
        text = ', '.join(f'{name} {count}' for name, count in names.most_common())
        lines.append(f'- Chosen for {metric}: {text}.')
    return lines


def _control(rows: list[dict]) -> list[str]:
    kinds = dict.fromkeys((row['control'], row['metric']) for row in rows if row['control'])
    told = dict.fromkeys(kind for kind, _ in kinds)
    lines = [
        '## Controls: nothing to choose',
        '',
        'Of each split anew: ' + '; '.join(EXCHANGED[kind] for kind in told) + '.',
        '',
        '| exchanged | chosen for | left as it is | AP as it is | gain of AP, folded in any case |',
        '|---|---|---|---|---|',
    ]
    for kind, metric in kinds:
        part = [row for row in rows if (row['control'], row['metric']) == (kind, metric)]
        left = sum(not row['fold'] for row in part)
        before = statistics.mean(row['test']['identity']['AP'] for row in part)
        gained = spread([gain(row, 'candidate', 'AP') for row in part])
        lines.append(f'| {kind} | {metric} | {left} of {len(part)} | {before:.3f} | {gained} |')
    return lines


def _equal(equal: dict) -> list[str]:
    lines = [
        '## A setting of the sweep against a test of its own',
        '',
        '| setting | AP in the sweep | AP of a test | largest difference of AP, APr, APc, APf |',
        '|---|---|---|---|',
    ]
    for row in equal['settings']:
        cells = row['sweep']['AP'], row['test']['AP']
        values = ' | '.join(f'{value:.6f}' for value in cells)
        lines.append(f'| {row["setting"]} | {values} | {row["difference"]:.1e} |')
    folded = equal['folded']
    difference = max(abs(folded['ours'][key] - folded['stock'][key]) for key in KEYS)
    score = folded['score_difference']
    number, theirs = folded['detections']
    lines += [
        '',
        f'Folded ({folded["setting"]}) and tested in a process of MMDetection without lt_det, '
        f'against our test with the rule in the config: AP {folded["stock"]["AP"]:.6f} against '
        f'{folded["ours"]["AP"]:.6f}, largest difference of AP, APr, APc, APf {difference:.1e}; '
        f'{theirs} and {number} detections, their scores differ by at most '
        f'{"-" if score is None else f"{score:.1e}"}.',
    ]
    return lines


def _speed(speed: dict) -> list[str]:
    seconds = {kind: [run['cpu_s'] for run in speed[kind]] for kind in ('test', 'sweep')}
    ratios = [a / b for a, b in zip(seconds['sweep'], seconds['test'])]
    median = {kind: statistics.median(runs) for kind, runs in seconds.items()}
    return [
        '## Time of a sweep',
        '',
        f'Mask R-CNN R50-FPN, {speed["classes"]} classes, boxes of each class, images of 480 x 640 '
        'pixels scaled to 800 x 1067, random weights with spread class logits: '
        f'{speed["proposals"]:.0f} proposals an image, {speed["candidates"]:,.0f} scores above the '
        f'threshold, mean score of the background {speed["background"]:.2f}. {speed["images"]} '
        'images, one thread; the loop over the images with its evaluation. Processor time, as '
        f'other work shares the machine: medians of {len(ratios)} runs that take turns.',
        '',
        f'- a test, boxes and masks: {median["test"]:.1f} s',
        f'- a sweep of {speed["settings"]} settings, boxes: {median["sweep"]:.1f} s',
        f'- ratio: {median["sweep"] / median["test"]:.2f} ({min(ratios):.2f} to {max(ratios):.2f} '
        'in single turns)',
        '',
        'A pass for the masks of what is chosen comes on top, unless `--masks none` leaves it out.',
    ]
