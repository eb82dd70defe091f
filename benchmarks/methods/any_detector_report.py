"""Page of the comparison of detectors, from the rows that its runs have saved."""

from __future__ import annotations

import statistics

from common.origin import spread

GROUPS = ('AP', 'APr', 'APc', 'APf')
NAMES = {'bbox': 'boxes', 'segm': 'masks'}


def report(content: dict) -> str:
    """What the rules change, all means and deviations, and the pilot."""
    metric = content['metric']
    rows = content['rows']
    seeds = sorted({row['seed'] for row in rows})
    pilot_seed = content['pilot'][0]['seed']
    types = ', '.join(f'{NAMES[iou_type]} of {family}' for family, iou_type in metric.items())
    lines = [
        '# Any detector',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}: '
        f'`{content["command"]}`.',
        f'AP in 0..1: {types}.',
        f'Mean and standard deviation over the seeds {seeds}. What is trained, and on what:',
        '`benchmarks/methods/any_detector.py`.',
        '',
        'Differences to the baseline of the same seed. Apart: the worst seed with the rule has a',
        "higher APr than the baseline's best.",
        '',
        '| family | method | rule | APr | AP | apart |',
        '|---|---|---|---|---|---|',
    ]
    for family, roles in by_method(rows).items():
        for role, found in list(roles.items())[1:]:
            lines.append(difference(family, role, metric[family], found, roles['baseline']))
    lines += [
        '',
        '| family | method | rule | AP | APr | APc | APf |',
        '|---|---|---|---|---|---|---|',
    ]
    for family, roles in by_method(rows).items():
        for role, found in roles.items():
            cells = [spread(values(found, metric[family], group)) for group in GROUPS]
            lines.append(f'| {family} | {role} | {found[0]["rule"]} | {" | ".join(cells)} |')
    lines += [
        '',
        f'The pilot, seed {pilot_seed}, from which rules and strengths are chosen (highest APr',
        "among those whose AP is not below the baseline's). The validation images are the same.",
        '',
        '| family | rule | AP | APr | APc | APf |',
        '|---|---|---|---|---|---|',
    ]
    for row in content['pilot']:
        cells = [f'{values([row], metric[row["family"]], group)[0]:.3f}' for group in GROUPS]
        lines.append(f'| {row["family"]} | {row["rule"]} | {" | ".join(cells)} |')
    others = [
        f'{family} {content["pretrained"][family][f"{iou_type}_AP"]:.3f}'
        for family, iou_type in metric.items()
    ]
    lines += ['', f'AP of the detectors of other glyphs, on theirs: {", ".join(others)}.']
    return '\n'.join([*lines, ''])


def by_method(rows: list[dict]) -> dict[str, dict[str, list[dict]]]:
    """Rows by family and method, the seeds in one order."""
    found: dict[str, dict[str, list[dict]]] = {}
    for row in sorted(rows, key=lambda row: row['seed']):
        found.setdefault(row['family'], {}).setdefault(row['method'], []).append(row)
    return found


def values(rows: list[dict], iou_type: str, group: str) -> list[float]:
    return [row['metrics'][f'{iou_type}_{group}'] for row in rows]


def difference(
    family: str, role: str, iou_type: str, found: list[dict], baseline: list[dict]
) -> str:
    """Line of the first table."""
    cells = []
    for group in ('APr', 'AP'):
        pairs = zip(values(found, iou_type, group), values(baseline, iou_type, group), strict=True)
        change = [ours - theirs for ours, theirs in pairs]
        deviation = f' ± {statistics.stdev(change):.3f}' if len(change) > 1 else ''
        cells.append(f'{statistics.mean(change):+.3f}{deviation}')
    apart = min(values(found, iou_type, 'APr')) > max(values(baseline, iou_type, 'APr'))
    cells.append('yes' if apart else 'no')
    return f'| {family} | {role} | {found[0]["rule"]} | {" | ".join(cells)} |'
