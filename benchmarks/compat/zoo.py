"""MMDetection's zoo without compiled ops: what builds, trains a step and predicts on a CPU.

Builds the model of every config, and of each folder of configs trains one step and predicts once
with the smallest model that builds, on tiny random images. Nothing is downloaded. Results go to
--work-dir as they come; a second call goes on where the first has stopped.

    python benchmarks/compat/zoo.py

Writes benchmarks/results/zoo.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, option_parser, origin, publish

WORKER = Path(__file__).with_name('zoo_models.py')
CHUNK = {'build': 40, 'run': 20}  # configs of a process
MORE = (  # ops that the smallest models leave out
    'dcn/faster-rcnn_r50_fpn_dpool_1x_coco.py',
    'dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py',
    'dcnv2/faster-rcnn_r50-mdconv-group4-c3-c5_fpn_1x_coco.py',
    'faster_rcnn/faster-rcnn_r50_fpn_soft-nms_1x_coco.py',
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'carafe/mask-rcnn_r50_fpn-carafe_1x_coco.py',
    'guided_anchoring/ga-faster-rcnn_r50-caffe_fpn_1x_coco.py',
    'strong_baselines/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_lsj-50e_coco.py',
    'vfnet/vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco.py',
    'tood/tood_r101-dconv-c3-c5_fpn_ms-2x_coco.py',
    'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
)
HEADER = (
    '| family | build | model | trains a step | predicts | why not |',
    '|---|---|---|---|---|---|',
)
NO_DETECTOR = 'no detector in this config'


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--work-dir', default=str(ROOT / 'work_dirs' / 'zoo'))
    parser.add_argument('--families', nargs='+', help='folders of configs; all by default')
    return parser.parse_args()


def zoo(families: list[str] | None) -> list[str]:
    """Paths of the configs, ``family/name.py``."""
    configs = Path(find_spec('mmdet').origin).parent / '.mim' / 'configs'
    paths = [path.relative_to(configs) for path in sorted(configs.rglob('*.py'))]
    return [
        path.as_posix()
        for path in paths
        if not {'_base_', 'metafile.py'} & set(path.parts)
        and len(path.parts) > 1
        and (families is None or path.parts[0] in families)
    ]


def work(action: str, paths: list[str], folder: Path) -> dict[str, dict]:
    """Rows of the configs: those in the folder, and the others from processes of the worker."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f'{action}.jsonl'
    rows = {}
    if file.is_file():
        rows = {row['config']: row for row in map(json.loads, file.read_text().splitlines())}
    left = [path for path in paths if path not in rows]
    while left:
        for row in _process(action, left[: CHUNK[action]]):
            rows[row['config']] = row
            with file.open('a') as out:
                out.write(json.dumps(row) + '\n')
        left = [path for path in paths if path not in rows]
        print(f'{action}: {len(paths) - len(left)} of {len(paths)}', file=sys.stderr)
    return rows


def _process(action: str, paths: list[str]) -> Iterator[dict]:
    """Rows as a process gives them; the config at which it ends early is told as crashed."""
    environment = {
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'HF_HUB_OFFLINE': '1',
        'OMP_NUM_THREADS': '1',
    }
    command = ['nice', '-n', '1', sys.executable, str(WORKER), action, *paths]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    last = None
    for line in process.stdout:
        if not line.startswith('{"config"'):
            continue
        row = json.loads(line)
        last = row['config'] if 'started' in row else None
        if last is None:
            yield row
    if code := process.wait():
        if last is None:
            raise RuntimeError(f'{action}: the worker ended with {code} between two configs')
        yield {'config': last, 'error': f'the process ended with {code}'}


def smallest(builds: dict[str, dict]) -> dict[str, str]:
    """Of each family, the config that builds with the fewest weights."""
    chosen: dict[str, str] = {}
    for path, row in builds.items():
        family = path.split('/')[0]
        if 'error' in row:
            continue
        best = chosen.get(family)
        if best is None or row['parameters'] < builds[best]['parameters']:
            chosen[family] = path
    return chosen


def table(builds: dict[str, dict], runs: dict[str, dict], chosen: dict[str, str]) -> list[dict]:
    """A row per family."""
    rows = []
    for family in sorted({path.split('/')[0] for path in builds}):
        mine = {path: row for path, row in builds.items() if path.startswith(f'{family}/')}
        errors = [' '.join(row['error'].split()) for row in mine.values() if 'error' in row]
        errors = sorted({f'builds: {error}' for error in errors})
        row = {
            'family': family,
            'configs': len(mine),
            'build': sum('error' not in row for row in mine.values()),
            'config': chosen.get(family),
        }
        run = runs.get(chosen.get(family), {})
        for key in ('trains', 'predicts'):
            row[key] = run.get(key) is True
            error = run.get('error', run.get(key))
            if isinstance(error, str):
                errors.append(f'{key}: {" ".join(error.split())}')
        rows.append({**row, 'errors': errors})
    return rows


def report(content: dict) -> str:
    rows = content['rows']
    count = {
        key: sum(row[key] for row in rows) for key in ('configs', 'build', 'trains', 'predicts')
    }
    lines = [
        "# MMDetection's zoo without compiled ops",
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        f'{count["build"]} of {count["configs"]} configs build; of {len(rows)} families (folders '
        f'of configs) {count["trains"]} train a step and {count["predicts"]} predict. '
        f'{content["missing_ops"]} configs or steps fail for an op that is missing. '
        f'{content["without_detector"]} configs hold no detector and are not counted.',
        '',
        'A step: two random images (to predict: one) of 128 x 128 (300 for SSD, 256 for DINO and '
        'DDQ), loss and gradients finite, weights moved by SGD. No weights are downloaded, batches '
        'are not padded beyond their images, proposals, samples and detections are 30 an image at '
        'most, and SyncBN is BN. The model is the smallest of the family that builds.',
        '',
        *HEADER,
    ]
    lines += _lines(rows)
    lines += ['', 'Models of ops that the smallest ones leave out:', '', *HEADER]
    lines += _lines(content['more'])
    return '\n'.join(lines) + '\n'


def _lines(rows: list[dict]) -> list[str]:
    lines = []
    for row in rows:
        model = f'`{Path(row["config"]).stem}`' if row['config'] else '-'
        marks = ['yes' if row[key] else 'no' for key in ('trains', 'predicts')]
        why = '; '.join(row['errors']).replace('|', '\\|')
        lines.append(
            f'| {row["family"]} | {row["build"]} of {row["configs"]} | {model} '
            f'| {marks[0]} | {marks[1]} | {why} |'
        )
    return lines


def main() -> None:
    args = parse_args()
    names = ('onedl-mmdetection', 'onedl-mmcv', 'torch', 'torchvision')
    content = origin(*(f'{name} {version(name)}' for name in names))
    paths = zoo(args.families)
    builds = work('build', paths, Path(args.work_dir))
    builds = {path: builds[path] for path in paths}
    builds = {k: row for k, row in builds.items() if NO_DETECTOR not in row.get('error', '')}
    content['without_detector'] = len(paths) - len(builds)
    chosen = smallest(builds)
    more = [path for path in MORE if path in builds]
    runs = work('run', sorted({*chosen.values(), *more}), Path(args.work_dir))
    content['rows'] = table(builds, runs, chosen)
    content['more'] = [
        table({path: builds[path]}, runs, {path.split('/')[0]: path})[0] for path in more
    ]
    found = [error for row in content['rows'] + content['more'] for error in row['errors']]
    content['missing_ops'] = sum('is not compiled' in error for error in found)
    content['cpu_s'] = round(sum(row.get('cpu_s', 0) for row in [*builds.values(), *runs.values()]))
    publish(args.out, 'zoo', content, report(content))


if __name__ == '__main__':
    main()
