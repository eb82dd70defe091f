"""The page of the comparison with words."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

METRICS = ('top1', 'many', 'medium', 'few', 'ece', 'word_map')


def mean_and_spread(rows: list[dict], method: str, metric: str) -> tuple[float, float] | None:
    values = [row['metrics'].get(metric) for row in rows if row['method'] == method]
    if not values or {None, -1.0} & set(values):
        return None
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def write(content: dict, folder: Path, name: str, meaning: dict, image_only: list[str]) -> None:
    """NAME.json and NAME.md of methods, what they mean, and those among them that read no words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{name}.json').write_text(json.dumps(content, indent=1) + '\n')
    rows = content['rows']
    methods = [method for method in meaning if any(row['method'] == method for row in rows)]
    seeds = len({row['seed'] for row in rows})
    lines = [
        '# CMLTNet: words in training, images alone at test',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'    {content["command"]}',
        '',
        f'Glyph crops `{content["data"]}`: letters with marks, {content["classes"]} classes of '
        f'{content["most"]} to {content["fewest"]} training images; a ResNet-10 from random '
        f'weights, {content["epochs"]} epochs. Mean and standard deviation over {seeds} seeds, in '
        'percent; word mAP: retrieval of images by words. Cost: CPU time of training relative to '
        'softmax. The classes are compositions of a letter and a mark, which the words name: where '
        'words say less about what is to be seen, expect less.',
        '',
        '| method | overall | many | medium | few | ECE | word mAP | cost | |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for method in methods:
        cells = []
        for metric in METRICS:
            found = mean_and_spread(rows, method, metric)
            cells.append('' if found is None else f'{found[0]:.1%} ± {found[1]:.1%}')
        cells = [cell.replace('%', '') for cell in cells]
        cost = statistics.mean(row['relative_cost'] for row in rows if row['method'] == method)
        lines.append(f'| {method} | {" | ".join(cells)} | {cost:.2f} | {meaning[method]} |')
    lines += ['', *differences(rows, methods, image_only)]
    lines += ['', '| | image only, ms | full, ms | ratio | image only, MB | full, MB |']
    lines.append('|---|---|---|---|---|---|')
    for row in content['latency']:
        times = f'{1e3 * row["stock_s"]:.2f} | {1e3 * row["ours_s"]:.2f} | {row["ratio"]:.3f}'
        sizes = f'{row["stock_mb"]:.1f} | {row["ours_mb"]:.1f}'
        lines.append(f'| {row["stage"]} | {times} | {sizes} |')
    (folder / f'{name}.md').write_text('\n'.join(lines) + '\n')


def differences(rows: list[dict], methods: list[str], image_only: list[str]) -> list[str]:
    """The full model against the best image-only rows, and what each part adds."""

    def points(metric: str, more: str, less: str) -> str:
        pairs = (mean_and_spread(rows, method, metric) for method in (more, less))
        (a, _), (b, _) = pairs
        return f'{100 * (a - b):+.1f}'

    lines = []
    image_only = [method for method in methods if method in image_only]
    if 'full' in methods and image_only:
        for metric, name in (('few', 'few-shot classes'), ('top1', 'overall')):
            best = max(image_only, key=lambda m: mean_and_spread(rows, m, metric)[0])
            gain = points(metric, 'full', best)
            lines.append(f'- Full against the best image-only row ({best}), {name}: {gain} points.')
    steps = [
        ('all for twice the epochs', 'full_2x', 'balanced_softmax_2x'),
        ('words against longer training', 'full', 'balanced_softmax_2x'),
        ('alignment', 'alignment', 'no_parts'),
        ('inference (with its gate)', 'inference', 'no_parts'),
        ('alignment, given inference', 'full', 'inference'),
        ('inference, given alignment', 'full', 'alignment'),
        ('the gate against the mean', 'full', 'no_fusion'),
    ]
    for name, more, less in steps:
        if more in methods and less in methods:
            few, overall = (points(metric, more, less) for metric in ('few', 'top1'))
            lines.append(f'- {name}: {few} few-shot, {overall} overall ({more} - {less}).')
    return lines
