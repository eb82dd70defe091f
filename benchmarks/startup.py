"""Time and memory that a training set of LVIS's size takes to start, against stock MMDetection.

The annotation file is generated in the shape of LVIS v1 train: 1,270,141 annotations on 100,170
images in 1203 categories that follow Zipf's law, polygons of 42 points on average, 1 GB. Stock is
LVISV1Dataset and ClassBalancedDataset; ours LongTailLVISDataset (first with no cache, then with the
one that it made) and RepeatFactorDataset. Neither looks at image files, which are not there. Each
measurement is a process of its own; contenders take turns. Memory is what the process has more than
after its imports: its own (anonymous), and all that is mapped, pages that the ranks share included.

    python benchmarks/startup.py

Writes benchmarks/results/startup.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

NUM_ANNOTATIONS = 1_270_141
NUM_IMAGES = 100_170
NUM_CATEGORIES = 1203
HEIGHT, WIDTH = 480, 640
OVERSAMPLE_THR = 1e-3
COMPARED = 2000  # items
MEMORY = {
    'own, after the start': 'own_mb',
    'all that is mapped, after the start': 'all_mb',
    'peak of all that is mapped, during the start': 'mb',
    'own, after reading all items': 'items_own_mb',
    'all that is mapped, after reading all items': 'items_all_mb',
}
RESULTS = Path(__file__).parent / 'results'
ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--annotations', type=int, default=NUM_ANNOTATIONS)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--out', default=str(RESULTS), help='folder of the results')
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------------- data


def outlines(rng: np.random.Generator, number: int) -> list[str]:
    """Json of area, bbox and segmentation of bumpy ellipses."""
    found = []
    for _ in range(number):
        points = int(np.clip(rng.lognormal(3.5, 0.7), 4, 400))
        size = np.exp(rng.normal(3.6, 1, 2)).clip(2, 400)
        centre = size / 2 + rng.random(2) * ([WIDTH, HEIGHT] - size).clip(0)
        angle = np.sort(rng.random(points)) * 2 * np.pi
        radius = 1 + 0.1 * rng.normal(size=(points, 1))
        outline = np.stack([np.cos(angle), np.sin(angle)], 1) * radius * size / 2 + centre
        outline = outline.clip(0, [WIDTH, HEIGHT]).round(2)
        x, y = outline.min(0).tolist()
        w, h = (outline.max(0) - [x, y]).round(2).tolist()
        polygons = [outline.ravel().tolist()]
        shape = dict(area=round(0.7 * w * h, 2), bbox=[x, y, w, h], segmentation=polygons)
        found.append(json.dumps(shape)[1:])
    return found


def write_annotations(path: Path, number: int) -> None:
    rng = np.random.default_rng(0)
    num_images = max(number * NUM_IMAGES // NUM_ANNOTATIONS, 1)
    share = 1 / np.arange(1, NUM_CATEGORIES + 1) ** 1.1
    category = rng.choice(NUM_CATEGORIES, number, p=rng.permutation(share / share.sum())) + 1
    image = np.sort(rng.integers(0, num_images, number)) + 1
    pool = outlines(rng, 2000)
    shape = rng.integers(0, len(pool), number)
    with path.open('w') as file:
        file.write('{"info": {"year": 2020}, "annotations": [')
        for i in range(number):
            file.write(
                f'{", " if i else ""}{{"id": {i + 1}, "image_id": {image[i]}, '
                f'"category_id": {category[i]}, {pool[shape[i]]}'
            )
        images = [
            dict(
                id=i,
                width=WIDTH,
                height=HEIGHT,
                coco_url=f'http://images.cocodataset.org/train2017/{i:012d}.jpg',
                flickr_url='http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg',
                date_captured='2013-11-14 16:28:13',
                license=4,
                neg_category_ids=rng.integers(1, NUM_CATEGORIES + 1, 6).tolist(),
                not_exhaustive_category_ids=rng.integers(1, NUM_CATEGORIES + 1, 1).tolist(),
            )
            for i in range(1, num_images + 1)
        ]
        categories = [
            dict(id=i, name=f'c{i}', frequency='f', synonyms=[f'c{i}'])
            for i in range(1, NUM_CATEGORIES + 1)
        ]
        file.write(f'], "images": {json.dumps(images)}, "categories": {json.dumps(categories)}}}')


# ---------------------------------------------------------------------------------- measurements


def status_mb(field: str) -> float:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def work(contender: str, ann_file: str) -> dict:
    """One start in this process, then the sampling, then some items."""
    import lt_det  # noqa: F401  (before mmdet: it stands in for mmcv ops that are not compiled)

    # isort: split
    from mmdet.datasets import LVISV1Dataset
    from mmengine.dataset import ClassBalancedDataset

    from lt_det.datasets import LongTailLVISDataset, RepeatFactorDataset

    arguments = dict(
        ann_file=ann_file,
        data_prefix=dict(img=''),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[],
    )
    base, own_base = status_mb('VmRSS'), status_mb('RssAnon')
    found = {}

    def timed(prefix: str, stage: Callable[[], object]) -> object:
        """Seconds and the peak of memory of a stage, and what the process holds afterwards."""
        Path('/proc/self/clear_refs').write_text('5')  # the peak is that of what follows
        cpu, begin = time.process_time(), time.perf_counter()
        result = stage()
        found[f'{prefix}s'] = time.perf_counter() - begin
        found[f'{prefix}cpu_s'] = time.process_time() - cpu
        found[f'{prefix}mb'] = status_mb('VmHWM') - base
        found[f'{prefix}own_mb'] = status_mb('RssAnon') - own_base
        found[f'{prefix}all_mb'] = status_mb('VmRSS') - base
        return result

    if contender == 'stock':
        metainfo = dict(classes=tuple(f'c{i}' for i in range(1, NUM_CATEGORIES + 1)))
        dataset = timed('', lambda: LVISV1Dataset(metainfo=metainfo, **arguments))
        wrapper = ClassBalancedDataset
    else:
        dataset = timed('', lambda: LongTailLVISDataset(check_images=False, **arguments))
        wrapper = RepeatFactorDataset
    repeated = timed('rfs_', lambda: wrapper(dataset, OVERSAMPLE_THR))

    digest = hashlib.sha256(json.dumps(repeated.repeat_indices).encode())
    for index in np.linspace(0, len(dataset) - 1, COMPARED).astype(int).tolist():
        item = dataset.get_data_info(index)
        for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
            item.pop(key, None)  # stock drops them
        digest.update(json.dumps(item, sort_keys=True).encode())

    def read_all() -> None:
        for index in range(len(dataset)):
            dataset.get_data_info(index)

    timed('items_', read_all)
    return {**found, 'result': digest.hexdigest()}


def measure(contender: str, ann_file: Path) -> dict:
    command = [sys.executable, __file__, '--worker', contender, str(ann_file)]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{contender} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def run(args: argparse.Namespace, folder: Path) -> dict:
    ann_file = folder / 'lvis_v1_train.json'
    write_annotations(ann_file, args.annotations)
    found: dict[str, list[dict]] = {'stock': [], 'first': [], 'later': []}
    for turn in range(args.repeats):
        for name in found:
            print(f'{time.strftime("%H:%M:%S")} {name}, {turn + 1} of {args.repeats}', flush=True)
            if name == 'first':
                shutil.rmtree(f'{ann_file}.columns', ignore_errors=True)
            found[name].append(measure('stock' if name == 'stock' else 'ours', ann_file))
    cache = sum(file.stat().st_size for file in Path(f'{ann_file}.columns').glob('*')) / 1e6
    stages = {
        'start, the first time': ('first', ''),
        'start, afterwards': ('later', ''),
        'repeat factor sampling': ('later', 'rfs_'),
        'reading all items once': ('later', 'items_'),
    }
    rows = []
    for stage, (name, prefix) in stages.items():
        values = {'stage': stage}
        for side, several in (('stock', found['stock']), ('ours', found[name])):
            for key in ('s', 'cpu_s', 'mb'):
                values[f'{side}_{key}'] = round(median(several, prefix + key), 3)
        values['speedup'] = round(values['stock_s'] / values['ours_s'], 1)
        rows.append(values)
    memory = []
    for label, key in MEMORY.items():
        values = {'what': label, 'stock_mb': median(found['stock'], key)}
        for name in ('first', 'later'):
            values[f'{name}_mb'] = median(found[name], key)
        memory.append({k: v if k == 'what' else round(v, 1) for k, v in values.items()})
    return {
        'rows': rows,
        'memory': memory,
        'json_mb': round(ann_file.stat().st_size / 1e6, 1),
        'columns_mb': round(cache, 1),
        'same_items_and_indices': len({o['result'] for some in found.values() for o in some}) == 1,
        'repeats': args.repeats,
    }


def median(results: list[dict], key: str) -> float:
    return statistics.median(result[key] for result in results)


def report(content: dict) -> str:
    lines = [
        '# Start-up on an LVIS-sized annotation file',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        f'Medians of {content["repeats"]}. The json has {content["json_mb"]:,} MB, its columns '
        f'{content["columns_mb"]:,} MB. Memory is what a process has more than after its imports. '
        'Where other work shares the machine, CPU seconds are the steadier number. Items and '
        'repeated indices of stock and ours are '
        f'{"the same" if content["same_items_and_indices"] else "NOT the same"}.',
        '',
        '| stage | stock s | ours s | speedup | stock CPU s | ours CPU s | stock peak MB '
        '| ours peak MB |',
        '|---|---|---|---|---|---|---|---|',
    ]
    keys = ('stock_s', 'ours_s', 'speedup', 'stock_cpu_s', 'ours_cpu_s', 'stock_mb', 'ours_mb')
    for row in content['rows']:
        cells = [f'{row[key]:,.{0 if key.endswith("mb") else 2}f}' for key in keys]
        lines.append(f'| {row["stage"]} | ' + ' | '.join(cells) + ' |')
    lines += ['', '| memory of a rank, MB | stock | ours, first time | ours, afterwards |']
    lines += ['|---|---|---|---|']
    for row in content['memory']:
        cells = [f'{row[key]:,.0f}' for key in ('stock_mb', 'first_mb', 'later_mb')]
        lines.append(f'| {row["what"]} | ' + ' | '.join(cells) + ' |')
    lines += [
        '',
        'What is mapped but not own are pages of the columns; all ranks and workers share',
    ]
    lines += ['them, and the system takes them back when it needs memory.']
    return '\n'.join(lines) + '\n'


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if 'model name' in line]
        model = names[0].split(':')[1].strip() if names else model
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return (
        f'{model}, {os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the '
        f'start, Python {platform.python_version()}, numpy {np.__version__}'
    )


def main() -> None:
    args = parse_args()
    if args.worker:
        print(json.dumps(work(*args.worker)))
        return
    where = machine()
    commit = subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    command = 'python benchmarks/startup.py'
    for name, default in (('annotations', NUM_ANNOTATIONS), ('repeats', 3)):
        if getattr(args, name) != default:
            command += f' --{name} {getattr(args, name)}'
    content = {
        'date': date.today().isoformat(),
        'command': command,
        'machine': where,
        'commit': commit,
        **found,
    }
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'startup.json').write_text(json.dumps(content, indent=2) + '\n')
    (out / 'startup.md').write_text(report(content))
    print(report(content))


if __name__ == '__main__':
    main()
