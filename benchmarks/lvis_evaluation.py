"""Time and peak memory of LVIS evaluation, against lvis-api and faster-coco-eval.

The data are generated in the shape of LVIS v1 val: per image about 12 annotations, in about 3
categories of 1203 that follow Zipf's law, 8 negative categories, and 300 detections, of which 40%
are jittered annotations, 30% such with another label, 30% anywhere. Every measurement is a process
of its own; contenders take turns. Peak memory is that of the process, less what it had after its
imports; where two processes share the work, that of both.

    python benchmarks/lvis_evaluation.py --faster-coco-eval PYTHON

PYTHON is an interpreter with faster-coco-eval; without it that comparison is left out. Writes
benchmarks/results/lvis_evaluation.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from origin import commit, machine, publish

NUM_IMAGES = 19809
NUM_CATEGORIES = 1203
PER_IMAGE = 300
HEIGHT, WIDTH = 480, 640
DEFAULTS = {'repeats': 3, 'bbox_images': 2000, 'segm_images': 1000, 'all_images': NUM_IMAGES}
GIVEN = {
    'records': 'records in memory',
    'shared records': 'records in memory, 2 processes',
    'file': 'a result file',
    'shared file': 'a result file, 2 processes',
}
RESULTS = Path(__file__).parent / 'results'
ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--faster-coco-eval', metavar='PYTHON')
    parser.add_argument('--repeats', type=int)
    parser.add_argument('--bbox-images', type=int, help='0 leaves that part out')
    parser.add_argument('--segm-images', type=int, help='likewise')
    parser.add_argument('--all-images', type=int, help='likewise')
    parser.set_defaults(**DEFAULTS)
    parser.add_argument('--out', default=str(RESULTS), help='folder of the results')
    parser.add_argument('--worker', nargs='+', help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------------- data


def make_data(num_images: int, seed: int = 0) -> tuple[dict, dict[str, np.ndarray]]:
    """LVIS annotations without masks, and columns of detections sorted by image."""
    rng = np.random.default_rng(seed)
    zipf = 1 / np.arange(1, NUM_CATEGORIES + 1)
    zipf = rng.permutation(zipf / zipf.sum())
    rank = np.argsort(np.argsort(-zipf))
    category = [
        {'id': c + 1, 'name': f'c{c}', 'frequency': 'fcr'[min(rank[c] // 401, 2)]}
        for c in range(NUM_CATEGORIES)
    ]
    images, annotations, parts = [], [], []
    for image_id in range(1, num_images + 1):
        present = rng.choice(NUM_CATEGORIES, 1 + rng.poisson(2.4), p=zipf) + 1
        absent = np.setdiff1d(rng.choice(NUM_CATEGORIES, 8, replace=False) + 1, present)
        partly = [c for c in set(present.tolist()) if rng.random() < 0.1]
        images.append(
            {
                'id': image_id,
                'height': HEIGHT,
                'width': WIDTH,
                'neg_category_ids': absent.tolist(),
                'not_exhaustive_category_ids': partly,
            }
        )
        boxes = random_boxes(rng, max(rng.poisson(12.3), 1)).round(2)
        labels = rng.choice(present, len(boxes))
        for label, box in zip(labels.tolist(), boxes.tolist()):
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': label,
                    'bbox': box,
                    'area': 0.7 * box[2] * box[3],
                }
            )
        source = rng.integers(0, len(boxes), PER_IMAGE)
        found = boxes[source] + rng.normal(0, 0.1, (PER_IMAGE, 4)) * np.tile(
            boxes[source, 2:], (1, 2)
        )
        kind = rng.random(PER_IMAGE)
        found[kind > 0.7] = random_boxes(rng, int((kind > 0.7).sum()))
        found[:, 2:] = found[:, 2:].clip(1)
        guess = rng.choice(NUM_CATEGORIES, PER_IMAGE, p=zipf) + 1
        score = np.where(kind < 0.4, rng.random(PER_IMAGE), rng.random(PER_IMAGE) ** 3)
        parts.append((np.where(kind < 0.4, labels[source], guess), found, score))
    columns = {
        'image_id': np.repeat(np.arange(1, num_images + 1), PER_IMAGE),
        'category_id': np.concatenate([part[0] for part in parts]),
        # Models give float32.
        'bbox': np.concatenate([part[1] for part in parts]).astype(np.float32).astype(float),
        'score': np.concatenate([part[2] for part in parts]).astype(np.float32).astype(float),
    }
    return {'images': images, 'categories': category, 'annotations': annotations}, columns


def random_boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    sides = np.exp(rng.normal(3.6, 1, (number, 2))).clip(2, 400)
    corners = rng.random((number, 2)) * (np.array([WIDTH, HEIGHT]) - sides).clip(1)
    return np.hstack([corners, sides])


def polygon(rng: np.random.Generator, box: list[float]) -> list[float]:
    """A bumpy ellipse of 24 points in a box."""
    x, y, w, h = box
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = 1 + 0.1 * rng.normal(size=24)
    points = [x + w / 2 * (1 + np.cos(angle) * radius), y + h / 2 * (1 + np.sin(angle) * radius)]
    return np.stack(points, 1).clip(0, [WIDTH, HEIGHT]).round(2).ravel().tolist()


def write_annotations(path: Path, annotations: dict, num_images: int, masks: bool = False) -> None:
    rng = np.random.default_rng(1)
    chosen = [a for a in annotations['annotations'] if a['image_id'] <= num_images]
    if masks:
        chosen = [{**a, 'segmentation': [polygon(rng, a['bbox'])]} for a in chosen]
    part = {**annotations, 'images': annotations['images'][:num_images], 'annotations': chosen}
    path.write_text(json.dumps(part))


def write_detections(path: Path, columns: dict, num_images: int, masks: bool = False) -> None:
    """A result json; with masks, records carry a compressed RLE instead of a box."""
    from pycocotools import mask as mask_utils

    rng = np.random.default_rng(2)
    block = 100 * PER_IMAGE
    with path.open('w') as file:
        for start in range(0, num_images * PER_IMAGE, block):
            rows = slice(start, min(start + block, num_images * PER_IMAGE))
            lists = {name: column[rows].tolist() for name, column in columns.items()}
            records = [dict(zip(lists, values)) for values in zip(*lists.values())]
            if masks:
                for record in records:
                    outline = polygon(rng, record.pop('bbox'))
                    rle = mask_utils.frPyObjects([outline], HEIGHT, WIDTH)[0]
                    record['segmentation'] = {**rle, 'counts': rle['counts'].decode()}
            file.write((', ' if start else '[') + json.dumps(records)[1:-1])
        file.write(']')


# ---------------------------------------------------------------------------------- measurements


def status_mb(field: str) -> float:
    """A field of the process status of Linux in MB; the peak elsewhere."""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def work(contender: str, iou_type: str, ann: str, source: str, given: str) -> dict:
    """One measurement in this process: from a result file, records or columns to metrics."""
    if contender == 'ours':
        from lt_det.evaluation import LVISEvaluator
    elif contender == 'lvis-api':
        import logging

        logging.disable(logging.ERROR)
        np.float = float  # lvis 0.5.3 needs numpy < 1.24
        import lvis
    else:
        import faster_coco_eval
    reset_peak()
    base = status_mb('VmRSS')
    cpu, begin = cpu_seconds(), time.perf_counter()
    detections: object = source
    num_workers = 2 if 'shared' in given else 1
    if given == 'columns':
        detections = dict(np.load(source))
    elif 'records' in given or contender != 'ours':
        with open(source) as file:
            detections = json.load(file)
    loaded_cpu, loaded = cpu_seconds(), time.perf_counter()
    stages = {}
    if contender == 'ours':
        evaluator = LVISEvaluator(ann, iou_type, num_workers=num_workers)
        times = [time.perf_counter()]
        columns = evaluator.read(detections)
        times.append(time.perf_counter())
        matches = evaluator.match(columns)
        times.append(time.perf_counter())
        ap = evaluator.accumulate(matches)['AP']
        times.append(time.perf_counter())
        names = ('annotations', 'reading', 'matching', 'accumulation')
        stages = dict(zip(names, np.diff([loaded, *times]).tolist()))
    elif contender == 'lvis-api':
        truth = lvis.LVIS(ann)
        api = lvis.LVISEval(truth, lvis.LVISResults(truth, detections), iou_type)
        api.run()
        ap = float(api.results['AP'])
    else:
        truth = faster_coco_eval.COCO(ann)
        found = truth.loadRes(detections)
        api = faster_coco_eval.COCOeval_faster(
            truth, found, iouType=iou_type, lvis_style=True, print_function=lambda *_: None
        )
        api.run()
        ap = float(api.stats[0])
    end = time.perf_counter()
    # Of a child, what it has beyond the memory that it inherited, at least.
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    memory = status_mb('VmHWM') - base + (2 * max(child - base, 0) if num_workers > 1 else 0)
    return {
        'file_s': end - begin,
        'records_s': end - loaded,
        'records_cpu_s': cpu_seconds() - loaded_cpu,
        'file_cpu_s': cpu_seconds() - cpu,
        'mb': memory,
        'ap': ap,
        'stages': stages,
    }


def measure(python: str, *task: str) -> dict:
    command = [python, __file__, '--worker', *task]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(task)} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def median(results: list[dict], key: str) -> float:
    return statistics.median(result[key] for result in results)


def stages(results: list[dict]) -> dict[str, float]:
    return {
        name: round(statistics.median(result['stages'][name] for result in results), 2)
        for name in results[0]['stages']
    }


def row(stage: str, stock: list[dict], ours: list[dict], given: str) -> dict:
    """A row of the table; the files that are read count in both or in neither."""
    time_key = 'records_s' if 'records' in given else 'file_s'
    cpu_key = time_key.replace('_s', '_cpu_s')
    values = {
        'stage': stage,
        'ours_s': median(ours, time_key),
        'ours_cpu_s': median(ours, cpu_key),
        'ours_mb': median(ours, 'mb'),
        'ours_ap': ours[0]['ap'],
        'repeats': len(ours),
    }
    if stock:
        values |= {
            'stock_s': median(stock, time_key),
            'stock_cpu_s': median(stock, cpu_key),
            'stock_mb': median(stock, 'mb'),
            'stock_ap': stock[0]['ap'],
        }
        values['speedup'] = values['stock_s'] / values['ours_s']
    for key in values.keys() - {'stage', 'stock_ap', 'ours_ap', 'repeats'}:
        values[key] = round(values[key], 3)
    return values


def run(args: argparse.Namespace, folder: Path) -> dict:
    python = sys.executable
    annotations, columns = make_data(max(args.bbox_images, args.segm_images, args.all_images))
    stock = {'lvis-api': python}
    if args.faster_coco_eval:
        stock['faster-coco-eval'] = args.faster_coco_eval

    def say(text: str) -> None:
        print(f'{time.strftime("%H:%M:%S")} {text}', flush=True)

    rows = []
    profile = {}
    for iou_type, number in (('bbox', args.bbox_images), ('segm', args.segm_images)):
        if not number:
            continue
        ann, results = folder / f'{iou_type}_ann.json', folder / f'{iou_type}.json'
        write_annotations(ann, annotations, number, masks=iou_type == 'segm')
        write_detections(results, columns, number, masks=iou_type == 'segm')
        found: dict[str, list] = {name: [] for name in (*stock, *GIVEN)}
        for turn in range(args.repeats):
            for name, interpreter in stock.items():
                say(f'{iou_type}, {number} images, {name}, {turn + 1} of {args.repeats}')
                if iou_type == 'bbox' or name == 'lvis-api':
                    task = (name, iou_type, str(ann), str(results), 'file')
                    found[name].append(measure(interpreter, *task))
            for given in GIVEN:
                task = ('ours', iou_type, str(ann), str(results), given)
                found[given].append(measure(python, *task))
        for name in stock:
            for given, label in GIVEN.items():
                if found[name]:
                    stage = f'{iou_type}, {number:,} images, from {label}, against {name}'
                    rows.append(row(stage, found[name], found[given], given))
        for given, label in GIVEN.items():
            profile[f'{iou_type}, {number:,} images, from {label}'] = stages(found[given])
    if not args.all_images:
        return {'rows': rows, 'profile_s': profile, 'growth': []}
    say(f'bbox, {args.all_images} images')
    ann, results, arrays = (folder / name for name in ('ann.json', 'all.json', 'all.npz'))
    write_annotations(ann, annotations, args.all_images)
    write_detections(results, columns, args.all_images)
    np.savez(arrays, **columns)
    inputs = {**GIVEN, 'columns': 'columns'}
    inputs = {given: label for given, label in inputs.items() if 'records' not in given}
    for given, label in inputs.items():
        source = arrays if given == 'columns' else results
        task = ('ours', 'bbox', str(ann), str(source), given)
        found_all = [measure(python, *task) for _ in range(args.repeats)]
        stage = f'bbox, {args.all_images:,} images, from {label}'
        rows.append(row(stage, [], found_all, 'file'))
        profile[stage] = stages(found_all)
    grown = growth(args, folder, annotations, columns)
    return {'rows': rows, 'profile_s': profile, 'growth': grown}


def growth(args: argparse.Namespace, folder: Path, annotations: dict, columns: dict) -> list[dict]:
    """Seconds from columns, by images, and with ten times the categories, most of them unused."""
    found = []
    wide = {**annotations, 'categories': list(annotations['categories'])}
    for c in range(NUM_CATEGORIES, 10 * NUM_CATEGORIES):
        wide['categories'].append({'id': c + 1, 'name': f'c{c}', 'frequency': 'r'})
    cases = [(n, annotations) for n in (args.all_images // 8, args.all_images // 4)]
    cases += [(args.all_images // 2, annotations), (args.all_images // 2, wide)]
    for number, content in cases:
        ann, arrays = folder / 'growth.json', folder / 'growth.npz'
        write_annotations(ann, content, number)
        np.savez(arrays, **{name: column[: number * PER_IMAGE] for name, column in columns.items()})
        task = ('ours', 'bbox', str(ann), str(arrays), 'columns')
        results = [measure(sys.executable, *task) for _ in range(args.repeats)]
        found.append(
            {
                'detections': number * PER_IMAGE,
                'categories': len(content['categories']),
                's': round(median(results, 'file_s'), 3),
                'cpu_s': round(median(results, 'file_cpu_s'), 3),
                'mb': round(median(results, 'mb')),
            }
        )
    return found


def report(content: dict) -> str:
    lines = [
        '# LVIS evaluation',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        'Medians. CPU seconds are those of all processes; where other work shares the machine they '
        'are the steadier number. Memory is the peak above what the process had after its imports.',
        '',
        '| stage | stock s | ours s | speedup | stock CPU s | ours CPU s | stock MB | ours MB '
        '| stock AP | ours AP |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    keys = ('stock_s', 'ours_s', 'speedup', 'stock_cpu_s', 'ours_cpu_s', 'stock_mb', 'ours_mb')
    for values in content['rows']:
        cells = [f'{values[key]:.1f}' if key in values else '-' for key in keys]
        cells += [repr(values[key]) if key in values else '-' for key in ('stock_ap', 'ours_ap')]
        lines.append(f'| {values["stage"]} | ' + ' | '.join(cells) + ' |')
    lines += ['', 'Where our time goes, in seconds:', '']
    for stage, parts in content['profile_s'].items():
        lines.append(f'- {stage}: ' + ', '.join(f'{k} {v}' for k, v in parts.items()))
    if not content['growth']:
        return '\n'.join(lines) + '\n'
    lines += ['', 'Growth:', '', '| detections | categories in the file | s | CPU s | MB |']
    lines += ['|---|---|---|---|---|']
    for values in content['growth']:
        lines.append('| ' + ' | '.join(f'{value:,}' for value in values.values()) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    if args.worker:
        print(json.dumps(work(*args.worker)))
        return
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    command = 'python benchmarks/lvis_evaluation.py'
    if args.faster_coco_eval:
        command += ' --faster-coco-eval PYTHON'
    for name, default in DEFAULTS.items():
        if getattr(args, name) != default:
            command += f' --{name.replace("_", "-")} {getattr(args, name)}'
    content = {
        'date': date.today().isoformat(),
        'command': command,
        'machine': where,
        'commit': commit(),
        **found,
    }
    publish(args.out, 'lvis_evaluation', content, report(content))


if __name__ == '__main__':
    main()
