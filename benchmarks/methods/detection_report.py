"""Page and picture of the comparison of detection methods, from what its runs have saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from common.origin import spread
from matplotlib.figure import Figure

SHOWN = ('segm_AP', 'segm_APr', 'segm_APc', 'segm_APf', 'bbox_AP', 'fixed_AP', 'false_positives')


def false_positives(work_dir: Path, method: str, seed: int, num_images: int) -> float | None:
    """An image's false positives where the method finds what softmax finds at score 0.5.

    None where it never finds as many, or softmax finds nothing.
    """
    score, true, _ = curve(work_dir, 'softmax', seed)
    wanted = true[score >= 0.5].sum()
    score, true, false = curve(work_dir, method, seed)
    order = np.argsort(-score, kind='stable')
    found = np.cumsum(true[order])
    if not wanted or not len(found) or found[-1] < wanted:
        return None
    last = int(np.searchsorted(found, wanted))
    return float(false[order][: last + 1].sum()) / num_images


def curve(work_dir: Path, method: str, seed: int) -> list[np.ndarray]:
    content = np.load(work_dir / method / str(seed) / 'curve.npz')
    return [content[name] for name in ('arr_0', 'arr_1', 'arr_2')]


def saved(work_dir: Path, name: str) -> dict:
    return json.loads((work_dir / name).read_text())


def costs(work_dir: Path, name: str) -> dict:
    """Measured costs; none where they were not asked for."""
    return saved(work_dir, name) if (work_dir / name).is_file() else {}


def collect(work_dir: Path, methods: list[str], seeds: list[int], num_images: int) -> list[dict]:
    """A row for each run: its metrics, and the cost of its method."""
    cost = costs(work_dir, 'cost.json')
    rows = []
    for method in methods:
        for seed in seeds:
            result = saved(work_dir, f'{method}/{seed}/result.json')
            found = false_positives(work_dir, method, seed, num_images)
            metrics = result['metrics'] | {'false_positives': found}
            row = dict(method=method, seed=seed, metrics=metrics)
            rows.append(row | dict(relative_cost=cost.get(method)))
    return rows


def report(content: dict, num_at_test: int, picture: str) -> str:
    """The table: mean and standard deviation over the seeds; and the picture, by its name."""
    at_test = f'The last {num_at_test} methods adjust the softmax model at test. '
    lines = [
        '# Detection methods',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}: '
        f'`{content["command"]}`.',
        'Mean and standard deviation over the seeds; AP in 0..1, masks but for box AP. FP: false',
        'positives an image where as many objects are found as by softmax at score 0.5; - where a',
        'seed never finds them. Cost: time of a training iteration relative to softmax, - where',
        f'not measured. {at_test if num_at_test else ""}What is trained, and on what:',
        '`benchmarks/methods/methods_detection.py`.',
        '',
        '| method | AP | APr | APc | APf | box AP | fixed AP | FP | cost |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for method in dict.fromkeys(row['method'] for row in content['rows']):
        rows = [row for row in content['rows'] if row['method'] == method]
        cells = [spread([row['metrics'][key] for row in rows]) for key in SHOWN]
        cost = rows[0]['relative_cost']
        cells.append('-' if cost is None else f'{cost:.2f}')
        lines.append(f'| {method} | {" | ".join(cells)} |')
    if content['cost_of_softmax_again']:
        lines += ['', f'Softmax measured again costs {content["cost_of_softmax_again"]:.3f}.']
    cost = [f'{name} {value:.3f}' for name, value in content['cost_at_lvis_size'].items()]
    if cost:
        lines += [
            '',
            'Cost at LVIS size (1333 x 800 pixels, 1203 classes, one image of noise, 10 objects):',
        ]
        lines += [', '.join(cost) + '.']
    return '\n'.join([*lines, '', f'![AP by training frequency]({picture})', ''])


def plot(work_dir: Path, methods: list[str], seeds: list[int], path: Path) -> None:
    """Mask AP of the classes in each of seven ranges of training images, and less softmax's."""
    found = {}
    for method in methods:
        results = [saved(work_dir, f'{method}/{seed}/result.json') for seed in seeds]
        tables = [result['per_class'] for result in results]
        count = np.array([row['image_count'] for row in tables[0]])
        precision = np.mean([[row['segm_AP'] for row in table] for table in tables], axis=0)
        place = np.digitize(count, np.geomspace(count.min(), count.max() + 1, 8))
        groups = [place == index for index in np.unique(place)]
        found[method] = np.array([precision[group].mean() for group in groups])
    x = [np.exp(np.log(count[group]).mean()) for group in groups]
    figure = Figure(figsize=(9, 11), layout='constrained')
    for axes, base in zip(figure.subplots(2, sharex=True), (0, found['softmax'])):
        for number, (method, values) in enumerate(found.items()):
            style = dict(linestyle=('-', '--', ':')[number // 10 % 3], marker='.', label=method)
            axes.plot(x, values - base, linewidth=2.5 if method == 'softmax' else 1.2, **style)
    upper, lower = figure.axes
    upper.set(xscale='log', ylabel='mask AP')
    lower.set(xlabel='training images of the class', ylabel="mask AP less softmax's")
    upper.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=110)
