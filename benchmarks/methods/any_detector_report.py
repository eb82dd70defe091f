"""Page of the comparison of detectors, from the rows that its runs have saved."""

from __future__ import annotations

import statistics

from common.origin import spread

GROUPS = ('AP', 'APr', 'APc', 'APf')
NAMES = {'bbox': 'boxes', 'segm': 'masks'}
THREE_POINTS = 'APr higher by 3 points or more, AP not lower, apart'


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
        '`benchmarks/methods/any_detector.py`. Trainings are short, two epochs of 600 images: the',
        'detectors are far from converged. What frequent classes lose is in APf.',
        '',
        'Differences to the baseline of the same seed. Apart: the worst seed has a higher APr than',
        "the baseline's best. A rule at test alone trains nothing: it adjusts the baseline.",
        '',
        '| family | method | rule | APr | AP | apart |',
        '|---|---|---|---|---|---|',
    ]
    for family, roles in by_method(rows).items():
        for role, found in list(roles.items())[1:]:
            lines.append(difference(family, role, metric[family], found, roles['baseline']))
    lines += ['', f'{THREE_POINTS}: {", ".join(three_points(rows, metric)) or "none"}.']
    lines += [
        '',
        '| family | method | rule | AP | APr | APc | APf |',
        '|---|---|---|---|---|---|---|',
    ]
    for family, roles in by_method(rows).items():
        for role, found in roles.items():
            cells = [spread(values(found, metric[family], group)) for group in GROUPS]
            lines.append(f'| {family} | {role} | {found[0]["rule"]} | {" | ".join(cells)} |')
    lines += [*masks(rows, metric)]
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


def change(rows: list[dict], baseline: list[dict], iou_type: str, group: str) -> list[float]:
    """Difference to the baseline, seed by seed."""
    pairs = zip(values(rows, iou_type, group), values(baseline, iou_type, group), strict=True)
    return [ours - theirs for ours, theirs in pairs]


def apart(rows: list[dict], baseline: list[dict], iou_type: str) -> bool:
    return min(values(rows, iou_type, 'APr')) > max(values(baseline, iou_type, 'APr'))


def three_points(rows: list[dict], metric: dict[str, str]) -> list[str]:
    """The families and rules that do what is asked of them; RFS alone is none."""
    return [
        f'{family} ({role}: {found[0]["rule"]})'
        for family, roles in by_method(rows).items()
        for role, found in roles.items()
        if role not in ('baseline', 'RFS')
        and statistics.mean(change(found, roles['baseline'], metric[family], 'APr')) >= 0.03
        and statistics.mean(change(found, roles['baseline'], metric[family], 'AP')) >= 0
        and apart(found, roles['baseline'], metric[family])
    ]


def masks(rows: list[dict], metric: dict[str, str]) -> list[str]:
    """AP and APr of the masks of families whose boxes are compared."""
    lines = []
    for family, roles in by_method(rows).items():
        if metric[family] == 'segm' or 'segm_AP' not in roles['baseline'][0]['metrics']:
            continue
        cells = [
            f'{role} {spread(values(found, "segm", "AP"))}, {spread(values(found, "segm", "APr"))}'
            for role, found in roles.items()
        ]
        lines += ['', f'AP and APr of the masks of {family}: {"; ".join(cells)}.']
    return lines


def difference(
    family: str, role: str, iou_type: str, found: list[dict], baseline: list[dict]
) -> str:
    """Line of the first table."""
    cells = []
    for group in ('APr', 'AP'):
        values_of_seeds = change(found, baseline, iou_type, group)
        deviation = statistics.stdev(values_of_seeds) if len(values_of_seeds) > 1 else 0.0
        cells.append(f'{statistics.mean(values_of_seeds):+.3f} ± {deviation:.3f}')
    cells.append('yes' if apart(found, baseline, iou_type) else 'no')
    return f'| {family} | {role} | {found[0]["rule"]} | {" | ".join(cells)} |'
