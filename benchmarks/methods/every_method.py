"""All comparisons of methods, one after another, and one page of what they found.

Every comparison keeps its runs in its work dir and repeats none, so an interrupted call goes on
where it stopped. Where a comparison measures the time of its trainings, the page has their sum.

    python benchmarks/methods/every_method.py
    python benchmarks/methods/every_method.py --page    # of the results that are there, no run

writes benchmarks/results/every_method.json and .md. Figures of papers are those of the metafiles
below configs/, on LVIS v1 val or ImageNet-LT, per cent: not to be compared with those of rendered
data beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import RESULTS, ROOT, option_parser, origin, per_cent, publish

AP = {'AP': 'segm_AP', 'APr': 'segm_APr', 'APc': 'segm_APc', 'APf': 'segm_APf'}
BOX_AP = {name: key.replace('segm', 'bbox') for name, key in AP.items()}
ACCURACY = {'all': 'top1', 'many': 'many', 'medium': 'medium', 'few': 'few'}


@dataclass(frozen=True)
class Comparison:
    """One comparison and how its rows are shown.

    Args:
        name: Of its results.
        title: What was trained on what.
        script: Below benchmarks/methods, with its options.
        columns: Heading of a column by the key of its metric.
        row: Keys that tell the methods apart.
        papers: Config by method, whose metafile has figures of the paper.
    """

    name: str
    title: str
    script: str
    columns: dict[str, str]
    row: tuple[str, ...] = ('method',)
    papers: dict[str, str] = field(default_factory=dict)


COMPARISONS = (
    Comparison(
        'methods_detection',
        'Detectors: Mask R-CNN on rendered glyphs, masks',
        'methods_detection.py --size small --epochs 4',
        AP,
        papers={
            'softmax': 'lvis/mask_rcnn_r50_softmax',
            'rfs': 'lvis/mask_rcnn_r50_softmax_rfs_2x',
            'cosine': 'lvis/mask_rcnn_r50_softmax_rfs_cosine_2x',
            'iif_base10_obj': ('lvis/mask_rcnn_r50_iif_base10_obj_fasa_rfs_cosine_normed_mask_2x'),
            'seesaw': 'lvis/mask_rcnn_r50_seesaw_rfs_2x',
            'eqlv2': 'lvis/mask_rcnn_r50_eqlv2',
        },
    ),
    Comparison(
        'methods_detection_demo',
        'Further ones, on a smaller data set: Mask R-CNN, masks',
        'methods_detection.py --size demo --epochs 3 --name methods_detection_demo --methods '
        'softmax cosine iif_smooth iif_mean_cosine gol ldam copy_paste copy_paste_iif',
        AP,
        papers={'gol': 'lvis/mask_rcnn_r50_gol'},
    ),
    Comparison(
        'iif_at_test',
        'Rules at test, on the softmax detectors of that comparison: boxes',
        'iif_at_test.py --size demo --epochs 3',
        BOX_AP,
        ('rule',),
    ),
    Comparison(
        'any_detector',
        'Other detectors: boxes, what is trained and what is adjusted at test',
        'any_detector.py',
        BOX_AP,
        ('family', 'method'),
    ),
    Comparison(
        'methods_classification',
        'Classifiers of glyph crops',
        'methods_classification.py',
        ACCURACY,
        papers={
            'softmax': 'imagenet_lt/resnext50_softmax',
            'crt': 'imagenet_lt/resnext50_crt',
            'lws': 'imagenet_lt/resnext50_lws',
            'tau_norm': 'imagenet_lt/resnext50_tau_norm',
        },
    ),
    Comparison(
        'camc',
        'CAMC: readings of it',
        'camc.py',
        ACCURACY,
        ('data', 'method'),
    ),
    Comparison('smcl', 'SMCL: its parts', 'smcl.py', ACCURACY, ('network', 'method')),
    Comparison(
        'smcl_honest',
        'SMCL where backgrounds say nothing',
        'smcl.py --backgrounds honest --networks whole --data-sets 1 --methods softmax '
        'balanced_contrastive saliency_mixed_contrast saliency_hard_contrast_edge',
        ACCURACY,
        ('network', 'method'),
    ),
    Comparison('cmltnet', 'CMLTNet: its parts', 'cmltnet.py', ACCURACY),
    Comparison(
        'cmltnet_words',
        'CMLTNet: gates where words are missing or wrong',
        'cmltnet_words.py',
        ACCURACY,
        ('words', 'gate'),
    ),
    Comparison('ballad', 'BALLAD: its phases', 'ballad.py', ACCURACY, ('pretraining', 'method')),
)


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--page', action='store_true', help='run nothing')
    parser.add_argument(
        '--only', nargs='+', choices=[each.name for each in COMPARISONS], help='run only these'
    )
    return parser.parse_args()


def published() -> dict[str, str]:
    """Figures of the papers by config, from the metafiles."""
    import yaml

    found = {}
    for path in (ROOT / 'configs').glob('*/metafile.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            figures = model.get('Published')
            if figures:
                keys = AP if 'segm_AP' in figures else ACCURACY
                text = ' / '.join(f'{figures[key]:.1f}' for key in keys.values())
                name = Path(model['Config']).relative_to('configs').with_suffix('')
                found[name.as_posix()] = f'[{text}]({figures["Source"]})'
    return found


def cost(rows: list[dict]) -> str:
    """Mean time of training relative to the baseline, where it was measured."""
    known = [row['relative_cost'] for row in rows if row.get('relative_cost') is not None]
    return f'{statistics.mean(known):.2f}' if known else ''


def table(comparison: Comparison, content: dict, papers: dict[str, str]) -> list[str]:
    hours = sum(row.get('train_cpu_s', 0) for row in content['rows']) / 3600
    spent = f', {hours:.1f} CPU hours of training' if hours else ''
    lines = [
        '',
        f'## {comparison.title}',
        '',
        f'[{comparison.name}]({comparison.name}.md), {content["date"]}, commit '
        f'{content["commit"]}{spent}',
        '',
        '| ' + ' | '.join([*comparison.row, *comparison.columns, 'seeds', 'cost', 'paper']) + ' |',
    ]
    lines.append('|---' * (len(comparison.row) + len(comparison.columns) + 3) + '|')
    groups: dict[tuple, list[dict]] = {}
    for row in content['rows']:
        groups.setdefault(tuple(row.get(key, '') for key in comparison.row), []).append(row)
    for key, rows in groups.items():
        cells = [
            per_cent([row['metrics'][each] for row in rows]) for each in comparison.columns.values()
        ]
        seeds = len({row['seed'] for row in rows})
        paper = papers.get(comparison.papers.get(key[-1], ''), '')
        lines.append('| ' + ' | '.join([*key, *cells, str(seeds), cost(rows), paper]) + ' |')
    return lines


def main() -> None:
    args = parse_args()
    content = origin()
    for each in COMPARISONS:
        if not args.page and each.name in (args.only or [each.name]):
            script, *options = each.script.split()
            command = [sys.executable, ROOT / 'benchmarks' / 'methods' / script, *options]
            print(each.script, flush=True)
            subprocess.run([*command, '--out', args.out], check=True)
    papers = published()
    lines = [
        '# Every method',
        '',
        f'{content["date"]}, `{content["command"]}`, commit {content["commit"]}',
        '',
        'Per cent, mean and standard deviation over the runs. Cost: time of training relative to '
        'the baseline of the comparison, where it was measured. Paper: its figures in the same '
        'order, on LVIS v1 val or ImageNet-LT, not to be compared with those of rendered data.',
    ]
    content['comparisons'] = []
    for each in COMPARISONS:
        path = Path(args.out, f'{each.name}.json')
        path = path if path.is_file() else RESULTS / path.name
        if path.is_file():
            lines += table(each, json.loads(path.read_text()), papers)
            content['comparisons'].append(each.name)
    publish(args.out, 'every_method', content, '\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
