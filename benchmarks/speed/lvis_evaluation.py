"""Time and peak memory of LVIS evaluation from files, against four other implementations.

The data are generated in the shape of LVIS v1 val: per image about 12 annotations, in about 3
categories of 1203 that follow Zipf's law, 8 negative categories, and 300 detections, of which 40%
are jittered annotations, 30% such with another label, 30% anywhere. Every measurement is a process
of its own, from the two files to AP; contenders take turns. Peak memory is that of the process,
less what it had after its imports. ``hotcoco`` is the engine of lt_det called by hand, without the
checks of lt_det.

    python benchmarks/speed/lvis_evaluation.py --peers PYTHON

PYTHON is an interpreter with faster-coco-eval and ultrafast-pycocotools; without it these two are
left out. Writes benchmarks/results/lvis_evaluation.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
import numpy as np
from common.lvis_data import make_data, write_annotations, write_detections
from common.origin import option_parser, origin, publish
from common.process import cpu_seconds, measure, median, reset_peak, status_mb

SLOW = ('lvis-api', 'faster-coco-eval')  # not on all of LVIS
TASKS = {'bbox': 2000, 'segm': 1000, 'all': 19809}


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--peers', metavar='PYTHON')
    parser.add_argument('--repeats', type=int, default=3)
    for task, number in TASKS.items():
        help_ = f'images of this part ({number}); 0 leaves it out'
        parser.add_argument(f'--{task}-images', type=int, default=number, help=help_)
    parser.add_argument('--worker', nargs='+', help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------- contenders


def ours() -> Callable:
    import hotcoco  # noqa: F401  (imports do not count)

    from lt_det.evaluation import LVISEvaluator

    return lambda ann, results, iou_type: LVISEvaluator(ann, iou_type).evaluate(results)['AP']


def hotcoco() -> Callable:
    from hotcoco import COCO, LVISEval, LVISResults

    def run(ann: str, results: str, iou_type: str) -> float:
        truth = COCO(ann)
        evaluation = LVISEval(truth, LVISResults(truth, results), iou_type)
        evaluation.run()
        return evaluation.get_results()['AP']

    return run


def ultrafast() -> Callable:
    from ultrafast_pycocotools import COCO, COCOeval

    def run(ann: str, results: str, iou_type: str) -> float:
        truth = COCO(ann)
        evaluation = COCOeval(truth, truth.loadRes(results), iou_type, lvis_style=True)
        evaluation.params.maxDets = [300]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return float(evaluation.stats[0])

    return run


def faster() -> Callable:
    import faster_coco_eval

    def run(ann: str, results: str, iou_type: str) -> float:
        truth = faster_coco_eval.COCO(ann)
        evaluation = faster_coco_eval.COCOeval_faster(
            truth,
            truth.loadRes(results),
            iouType=iou_type,
            lvis_style=True,
            print_function=lambda *_: None,
        )
        evaluation.run()
        return float(evaluation.stats[0])

    return run


def lvis_api() -> Callable:
    import logging

    logging.disable(logging.ERROR)
    np.float = float  # lvis 0.5.3 needs numpy < 1.24
    import lvis

    def run(ann: str, results: str, iou_type: str) -> float:
        truth = lvis.LVIS(ann)
        evaluation = lvis.LVISEval(truth, lvis.LVISResults(truth, results), iou_type)
        evaluation.run()
        return float(evaluation.results['AP'])

    return run


CONTENDERS = {
    'lt_det': ours,
    'hotcoco': hotcoco,
    'ultrafast-pycocotools': ultrafast,
    'faster-coco-eval': faster,
    'lvis-api': lvis_api,
}


def work(contender: str, iou_type: str, ann: str, results: str) -> dict:
    """One measurement in this process."""
    run = CONTENDERS[contender]()
    reset_peak()
    base = status_mb('VmRSS')
    cpu, begin = cpu_seconds(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        ap = run(ann, results, iou_type)
    seconds = time.perf_counter() - begin
    memory = status_mb('VmHWM') - base
    return {'s': seconds, 'cpu_s': cpu_seconds() - cpu, 'mb': memory, 'ap': ap}


# ------------------------------------------------------------------------------------ the whole run


def run(args: argparse.Namespace, folder: Path) -> list[dict]:
    numbers = {task: getattr(args, f'{task}_images') for task in TASKS}
    annotations, columns = make_data(max(numbers.values()))
    rows = []
    for task, number in numbers.items():
        if not number:
            continue
        iou_type = 'segm' if task == 'segm' else 'bbox'
        ann, results = folder / 'ann.json', folder / 'results.json'
        write_annotations(ann, annotations, number, masks=iou_type == 'segm')
        write_detections(results, columns, number, masks=iou_type == 'segm')
        names = [n for n in CONTENDERS if not (task == 'all' and n in SLOW)]
        if not args.peers:
            names = [n for n in names if n in ('lt_det', 'hotcoco', 'lvis-api')]
        found: dict[str, list] = {name: [] for name in names}
        for turn in range(args.repeats):
            for name in names:
                if turn and name == 'lvis-api':  # 40 s; its ratio is not close
                    continue
                print(f'{time.strftime("%H:%M:%S")} {task}, {name}, {turn + 1}', flush=True)
                peer = name in ('ultrafast-pycocotools', 'faster-coco-eval')
                python = args.peers if peer else sys.executable
                given = (name, iou_type, str(ann), str(results))
                found[name].append(measure(__file__, *given, python=python))
        rows += [
            {
                'stage': f'{iou_type}, {number:,} images',
                'contender': name,
                **{key: round(median(found[name], key), 3) for key in ('s', 'cpu_s', 'mb')},
                'ap': found[name][0]['ap'],
                'repeats': len(found[name]),
                's_to_hotcoco': round(ratio(found, name, 's'), 3),
                'mb_to_hotcoco': round(ratio(found, name, 'mb'), 3),
            }
            for name in names
        ]
    return rows


def ratio(found: dict[str, list], name: str, key: str) -> float:
    return median(found[name], key) / median(found['hotcoco'], key)


def report(content: dict) -> str:
    lines = [
        '# LVIS evaluation',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}',
        '',
        f'`{content["command"]}`',
        '',
        'From a json of annotations and one of 300 detections an image to AP; medians. Memory is '
        'the peak above what the process had after its imports. The last columns are ratios to '
        'hotcoco called by hand.',
        '',
        '| stage | contender | s | CPU s | MB | AP | s / hotcoco | MB / hotcoco |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for row in content['rows']:
        lines.append(
            f'| {row["stage"]} | {row["contender"]} | {row["s"]:.2f} | {row["cpu_s"]:.2f} | '
            f'{row["mb"]:.0f} | {row["ap"]!r} | {row["s_to_hotcoco"]:.2f} | '
            f'{row["mb_to_hotcoco"]:.2f} |'
        )
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    if args.worker:
        print(json.dumps(work(*args.worker)))
        return
    where = origin()
    with tempfile.TemporaryDirectory() as folder:
        rows = run(args, Path(folder))
    if args.peers:
        where['command'] = where['command'].replace(args.peers, 'PYTHON')
    content = where | {'rows': rows}
    publish(args.out, 'lvis_evaluation', content, report(content))


if __name__ == '__main__':
    main()
