"""What tools/reproduce_lvis.sh trains and tests, what papers report of it, and what came out.

    python tools/analysis/lvis_results.py work_dirs/reproduce_lvis

Writes results.md into that folder: mask AP / APr / APc / APf and box AP of LVIS v1 val in per cent.
Hours are the seconds of the iterations in the log of the training, each iteration once, where one
was interrupted too. Memory is the peak of a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from lt_det.errors import BadInputError, UserError
from lt_det.formats.files import write_text
from lt_det.report.page.run_note import read_object

ROOT = Path(__file__).resolve().parents[2]
# a config, and the one whose checkpoint it evaluates: baselines first, what is cheap before 2x
PLAN = {
    'mask_rcnn_r50_softmax': None,
    'mask_rcnn_r50_softmax_rfs': None,
    'mask_rcnn_r50_iif': None,
    'mask_rcnn_r50_iif_rfs': None,
    'mask_rcnn_r50_eqlv2': None,
    'mask_rcnn_r50_camc': None,
    'mask_rcnn_r50_softmax_rfs_2x': None,
    'mask_rcnn_r50_norcal_rfs_2x': 'mask_rcnn_r50_softmax_rfs_2x',
    'mask_rcnn_r50_logit_adjustment_rfs_2x': 'mask_rcnn_r50_softmax_rfs_2x',
    'mask_rcnn_r50_tau_norm_rfs_2x': 'mask_rcnn_r50_softmax_rfs_2x',
    'mask_rcnn_r50_seesaw_rfs_2x': None,
    'mask_rcnn_r50_softmax_rfs_cosine_2x': None,
    'mask_rcnn_r50_iif_rfs_2x': None,
    'mask_rcnn_r50_iif_base10_obj_fasa_rfs_cosine_normed_mask_2x': None,
}
METRICS = ('segm_AP', 'segm_APr', 'segm_APc', 'segm_APf', 'bbox_AP')
IMAGES = 100_170  # of LVIS v1 train; repeat factor sampling shows some of them several times
STEP = 'training step, batch 4, 800 x 1333, float32'  # of benchmarks/results/gpu.json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='a folder a config, as the script makes them')
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--names', nargs='*', metavar='NAME', help='print these, all by default, and whose weights'
    )
    what.add_argument('--plan', action='store_true', help='print configs, published values, hours')
    return parser.parse_args()


def published() -> dict[str, dict]:
    """Entries of the metafile by the name of the config."""
    models = yaml.safe_load((ROOT / 'configs/lvis/metafile.yml').read_text(encoding='utf-8'))
    return {model['Name']: model for model in models['Models']}


def chosen(names: list[str]) -> list[str]:
    """Names of the plan, in its order, with those whose checkpoints they need.

    Raises:
        BadInputError: A name is not in the plan.
    """
    unknown = [name for name in names if name not in PLAN]
    if unknown:
        raise BadInputError(f'NAMES has {unknown[0]}; expected some of {", ".join(PLAN)}')
    wanted = {PLAN[name] or name for name in names} | set(names)
    return [name for name in PLAN if name in wanted or not names]


def training_step() -> tuple[float, float, str]:
    """Measured seconds and GB of a training step of 4 images on a GPU, and its name."""
    measured = json.loads((ROOT / 'benchmarks/results/gpu.json').read_text(encoding='utf-8'))
    row = next(row for row in measured['rows'] if row['stage'] == STEP)
    name = next(row['name'] for row in measured['rows'] if row['stage'] == 'device')
    return row['ours_s'], row['ours_mb'] / 1024, name


def plan() -> str:
    """What will be trained, what is published, and the hours that the GPUs compute at least."""
    models, (seconds, memory, device) = published(), training_step()
    lines = [f'config, published ({values_line()}), GPU hours at least on {device}:']
    for name, trained in PLAN.items():
        hours = models[name]['Metadata']['Epochs'] * IMAGES / 4 * seconds / 3600
        cost = f'test alone, of {trained}' if trained else f'{hours:.0f} h'
        lines.append(f'  {name}: {values(models[name].get("Published", {}))}; {cost}')
    lines.append(
        'hours: of one GPU for the forward and backward pass of each image once an epoch, of Mask '
        'R-CNN R50; reading images, repeat factor sampling and validation come on top\n'
        f'memory: {memory:.1f} GB for 4 images on a GPU, with float32'
    )
    return '\n'.join(lines)


def values_line() -> str:
    return 'mask AP / APr / APc / APf, box AP'


def values(numbers: Mapping[str, float], unit: float = 1.0) -> str:
    """``16.1 / 0.0 / 12.0 / 27.4, -``; a dash for what is not there."""
    texts = [
        '-' if numbers.get(key) is None or numbers[key] < 0 else f'{numbers[key] * unit:.1f}'
        for key in METRICS
    ]
    return '-' if set(texts) == {'-'} else f'{" / ".join(texts[:4])}, {texts[4]}'


def cost(run: Path) -> tuple[float | None, float | None]:
    """Hours of a training and its peak of GPU memory in GB, None where the log does not say."""
    steps: dict[int, float] = {}
    memory = []
    for path in sorted(run.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8').splitlines():
            entry = json.loads(line)
            if 'loss' in entry and 'time' in entry:
                steps[entry['step']] = entry['time']
                memory.append(entry.get('memory', 0))
    if not steps:
        return None, None
    before, seconds = 0, 0.0
    for step, time in sorted(steps.items()):
        seconds += (step - before) * time
        before = step
    return seconds / 3600, max(memory) / 1024 or None


def page(folder: Path) -> str:
    """The results as Markdown; what has not been tested is a dash."""
    models = published()
    lines = [
        '# LVIS v1 val',
        '',
        f'{values_line()}, in per cent; `bash tools/reproduce_lvis.sh`.',
        '',
        '| config | published | measured | hours | GB a GPU |',
        '|---|---|---|---|---|',
    ]
    for name, trained in PLAN.items():
        path = folder / name / 'test' / 'metrics.json'
        measured = read_object(path) if path.is_file() else {}
        hours, memory = (None, None) if trained else cost(folder / name)
        source = models[name].get('Published', {})
        told = values(source) + (f' ([source]({source["Source"]}))' if source else '')
        cells = [f'{number:.1f}' if number else '-' for number in (hours, memory)]
        lines.append(f'| {name} | {told} | {values(measured, 100)} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def main() -> int:
    args = parse_args()
    try:
        if args.names is not None:
            print('\n'.join(f'{name} {PLAN[name] or name}' for name in chosen(args.names)))
        elif args.plan:
            print(plan())
        else:
            write_text(args.folder / 'results.md', page(args.folder))
            print(f'written: {args.folder / "results.md"}')
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
