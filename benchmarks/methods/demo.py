"""What `make demo` prints, for several seeds: softmax against IIF, and the interval of APr.

Each seed trains both from the same pretrained detector for the same epochs, as the demo does for
seed 0. Runs that are there already are not repeated. Sums are rounded in another order on other
kinds of processors, and training makes more of that: demo_intel has the same seed on one with
AVX-512.

    OMP_NUM_THREADS=1 python benchmarks/methods/demo.py

Writes benchmarks/results/demo.json and .md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish, spread

DATA = Path('data/glyphs/demo')
METHODS = ('softmax', 'iif')
COLUMNS = ('segm_AP', 'segm_APr', 'segm_APc', 'segm_APf', 'bbox_AP')


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument('--name', default='demo', help='of the results')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo_seeds'))
    args = parser.parse_args()
    import torch

    from lt_det.datasets.glyphs import make_glyphs

    where = origin(f'torch {torch.__version__}')
    make_glyphs(DATA, 'demo')
    for seed in args.seeds:
        for method in METHODS:
            train(method, seed, args.work_dir / method / str(seed))
    rows, differences = [], []
    for seed in args.seeds:
        folders = [args.work_dir / method / str(seed) for method in METHODS]
        for method, folder in zip(METHODS, folders):
            metrics = json.loads((folder / 'metrics.json').read_text())
            rows.append(dict(method=method, seed=seed, metrics=metrics))
        differences.append(dict(seed=seed, metrics=compare(folders, args.resamples)))
    content = {**where, 'rows': rows, 'differences': differences, 'resamples': args.resamples}
    publish(args.out, args.name, content, report(content))


def train(method: str, seed: int, folder: Path) -> None:
    """Train as ``make demo`` does."""
    if (folder / 'metrics.json').is_file():
        return
    config = ROOT / 'configs' / 'glyphs' / f'mask_rcnn_r18_{method}_demo.py'
    options = [f'randomness.seed={seed}', f'val_evaluator.outfile_prefix={folder}/results']
    command = [sys.executable, '-m', 'lt_det', 'train', config, '--work-dir', folder]
    subprocess.run([*command, '--cfg-options', *options], check=True)


def compare(folders: list[Path], num_resamples: int) -> dict:
    """Differences of the mask metrics of IIF and softmax, with their intervals."""
    from lt_det.evaluation import LVISEvaluator

    evaluator = LVISEvaluator(DATA / 'annotations' / 'glyphs_val.json', 'segm')
    runs = [folder / 'results.segm.json' for folder in folders]
    return evaluator.compare(*runs, num_resamples=num_resamples)['metrics']


def report(content: dict) -> str:
    """Means of both methods, and the differences by seed."""
    seeds = ', '.join(str(row['seed']) for row in content['differences'])
    lines = [
        '# The demo',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}: '
        f'`{content["command"]}`.',
        f'Both start from one detector of other glyphs. Seed {seeds} (mean, and standard deviation',
        'where there are several); AP in 0..1, masks but for box AP.',
        '',
        '| method | AP | APr | APc | APf | box AP |',
        '|---|---|---|---|---|---|',
    ]
    for method in METHODS:
        found = [row['metrics'] for row in content['rows'] if row['method'] == method]
        cells = [spread([metrics[key] for metrics in found]) for key in COLUMNS]
        lines.append(f'| {method} | {" | ".join(cells)} |')
    lines += [
        '',
        f'IIF less softmax, with 95% intervals (paired bootstrap over the validation images, '
        f'{content["resamples"]:,} resamples):',
        '',
        '| seed | AP | APr |',
        '|---|---|---|',
    ]
    for row in content['differences']:
        cells = [difference(row['metrics'][name]) for name in ('AP', 'APr')]
        lines.append(f'| {row["seed"]} | {" | ".join(cells)} |')
    return '\n'.join([*lines, ''])


def difference(entry: dict) -> str:
    low, high = entry['interval']
    return f'{entry["difference"]:+.3f} [{low:+.3f}, {high:+.3f}]'


if __name__ == '__main__':
    main()
