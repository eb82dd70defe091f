"""Time and peak memory of LVIS evaluation, against lvis-api and faster-coco-eval.

The data are generated in the shape of LVIS v1 val: per image about 12 annotations, in about 3
categories of 1203 that follow Zipf's law, 8 negative categories, and 300 detections, of which 40%
are jittered annotations, 30% such with another label, 30% anywhere. Every measurement is a process
of its own; contenders take turns. Peak memory is that of the process, less what it had after its
imports; where two processes share the work, that of both.

    python benchmarks/speed/lvis_evaluation.py --faster-coco-eval PYTHON

PYTHON is an interpreter with faster-coco-eval; without it that comparison is left out. Writes
benchmarks/results/lvis_evaluation.json and .md.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
import numpy as np
from common.lvis_data import (
    NUM_CATEGORIES,
    PER_IMAGE,
    make_data,
    write_annotations,
    write_columns,
    write_detections,
)
from common.origin import option_parser, origin, publish
from common.process import cpu_seconds, measure, median, reset_peak, status_mb

NUM_IMAGES = 19809
GIVEN = {
    'records': 'records in memory',
    'shared records': 'records in memory, 2 processes',
    'file': 'a result file',
    'shared file': 'a result file, 2 processes',
}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--faster-coco-eval', metavar='PYTHON')
    parser.add_argument('--repeats', type=int)
    parser.add_argument('--bbox-images', type=int, help='0 leaves that part out')
    parser.add_argument('--segm-images', type=int, help='likewise')
    parser.add_argument('--all-images', type=int, help='likewise')
    parser.set_defaults(repeats=3, bbox_images=2000, segm_images=1000, all_images=NUM_IMAGES)
    parser.add_argument('--worker', nargs='+', help=argparse.SUPPRESS)
    return parser.parse_args()


# ---------------------------------------------------------------------------------- measurements


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
                    found[name].append(measure(__file__, *task, python=interpreter))
            for given in GIVEN:
                task = ('ours', iou_type, str(ann), str(results), given)
                found[given].append(measure(__file__, *task))
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
    write_columns(arrays, columns, args.all_images)
    inputs = {**GIVEN, 'columns': 'columns'}
    inputs = {given: label for given, label in inputs.items() if 'records' not in given}
    for given, label in inputs.items():
        source = arrays if given == 'columns' else results
        task = ('ours', 'bbox', str(ann), str(source), given)
        found_all = [measure(__file__, *task) for _ in range(args.repeats)]
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
        write_columns(arrays, columns, number)
        task = ('ours', 'bbox', str(ann), str(arrays), 'columns')
        results = [measure(__file__, *task) for _ in range(args.repeats)]
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
    where = origin()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    if args.faster_coco_eval:
        where['command'] = where['command'].replace(args.faster_coco_eval, 'PYTHON')
    content = where | found
    publish(args.out, 'lvis_evaluation', content, report(content))


if __name__ == '__main__':
    main()
