"""Evaluate a file of detections against LVIS annotations, without a model.

Reads result files in the format of lvis-api and Detectron2 (a json list of records), the pickles of
MMDetection (``tools/test.py --out``) and Detectron2's ``instances_predictions.pth``.

    python tools/analysis/evaluate.py results.json --ann data/lvis/annotations/lvis_v1_val.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from lt_det.cli.common import user_errors
from lt_det.errors import BadInputError
from lt_det.evaluation import LVISEvaluator
from lt_det.evaluation.ground_truth import LVISGroundTruth
from lt_det.evaluation.lvis_eval import IOU_TYPES
from lt_det.evaluation.per_class import check_per_class_file, per_class_table, write_per_class
from lt_det.formats.foreign_results import read_foreign
from lt_det.formats.result_files import record_blocks
from lt_det.report import format_table


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', help='.json, .pkl or .pth')
    parser.add_argument('--ann', required=True, help='LVIS annotation json')
    parser.add_argument(
        '--iou-type', nargs='+', choices=IOU_TYPES, help='default: what the results hold'
    )
    parser.add_argument(
        '--max-dets', type=int, default=300, help='detections of an image that count, -1 for all'
    )
    parser.add_argument('--fixed', action='store_true', help='add fixed AP and AP-pool')
    parser.add_argument('--proposals', action='store_true', help='add class-agnostic recall')
    parser.add_argument('--image-ids', metavar='FILE', help='score these images: one id a line')
    parser.add_argument('--categories', nargs='+', metavar='NAME', help='score these categories')
    parser.add_argument(
        '--skip-invalid', action='store_true', help='count invalid records instead of stopping'
    )
    parser.add_argument('--per-class', metavar='FILE', help='write AP by category: .csv, .parquet')
    parser.add_argument('--out', metavar='FILE', help='write all metrics as json')
    parser.add_argument(
        '--workers', type=int, default=min(os.cpu_count() or 1, 8), help='processes (same result)'
    )
    parser.add_argument('--no-progress', action='store_true')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    with user_errors():
        evaluate(args)
    return 0


def evaluate(args: argparse.Namespace) -> None:
    if args.per_class:
        check_per_class_file(args.per_class)
    truth = LVISGroundTruth(args.ann)
    sources = find_sources(args, truth)
    if set(sources) != {'bbox'}:
        truth = LVISGroundTruth(args.ann, masks=True)
    metrics: dict[str, float] = {}
    evaluators = {}
    for iou_type, source in sources.items():
        evaluators[iou_type] = evaluator = LVISEvaluator(
            truth,
            iou_type,
            max_dets=args.max_dets,
            skip_invalid=args.skip_invalid,
            image_ids=read_ids(args.image_ids),
            category_ids=category_ids(args.categories, truth),
            num_workers=args.workers,
        )
        for key, value in score(evaluator, source, args).items():
            metrics[f'{iou_type}_{key}'] = value
        for field, count in evaluator.skipped.items():
            print(f'{iou_type}: left out {count} records with an invalid {field}')
    print_metrics(metrics, evaluators)
    if args.per_class:
        write_per_class(per_class_table(evaluators), args.per_class)
    if args.out:
        Path(args.out).write_text(json.dumps(metrics, indent=2) + '\n')


def score(evaluator: LVISEvaluator, source: object, args: argparse.Namespace) -> dict[str, float]:
    with Progress(f'{evaluator.iou_type}: reading', args.no_progress) as progress:
        detections = evaluator.read(source, progress, all_masks=args.proposals)
    metrics = {}
    if args.proposals:
        recall = evaluator.proposal_recall(detections)
        metrics.update({f'proposal_{key}': value for key, value in recall.items()})
    if args.fixed:
        metrics.update(evaluator.fixed_ap(detections))
    with Progress(f'{evaluator.iou_type}: matching', args.no_progress) as progress:
        matches = evaluator.match(detections, progress)
    return {**evaluator.accumulate(matches), **metrics}


def find_sources(args: argparse.Namespace, truth: LVISGroundTruth) -> dict[str, object]:
    """What to evaluate for each IoU type."""
    if Path(args.results).suffix != '.json':
        found = read_foreign(args.results, truth)
        wanted = args.iou_type or list(found)
        missing = [t for t in wanted if ('bbox' if t == 'bbox' else 'segm') not in found]
        if missing:
            raise BadInputError(f'{args.results} has no masks, which {missing[0]} needs')
        return {t: found['bbox' if t == 'bbox' else 'segm'] for t in wanted}
    if args.iou_type:
        return dict.fromkeys(args.iou_type, args.results)
    first = next((r for block, _ in islice(record_blocks(args.results), 1) for r in block), None)
    keys = first.keys() if isinstance(first, dict) else ()
    if 'segmentation' not in keys:
        return {'bbox': args.results}
    return dict.fromkeys(['bbox', 'segm'] if 'bbox' in keys else ['segm'], args.results)


def read_ids(path: str | None) -> list[int] | None:
    if path is None:
        return None
    try:
        return [int(line) for line in Path(path).read_text().split()]
    except (OSError, ValueError) as error:
        raise BadInputError(f'--image-ids {path}: expected one integer a line: {error}') from None


def category_ids(names: list[str] | None, truth: LVISGroundTruth) -> list[int] | None:
    if names is None:
        return None
    ids = dict(zip(truth.category_names, truth.category_ids.tolist()))
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise BadInputError(f'--categories: {unknown[0]!r} is not in {truth.source}')
    return [ids[name] for name in names]


def print_metrics(metrics: dict[str, float], evaluators: dict[str, LVISEvaluator]) -> None:
    table = format_table(metrics)
    if table:
        print(f'\n{table}')
    for iou_type, evaluator in evaluators.items():
        print(f'\n{iou_type} AP by frequency and area')
        for group, values in evaluator.frequency_by_area().items():
            cells = [f'{name} {format_value(value)}' for name, value in values.items()]
            print(f'  {group}  ' + '  '.join(cells))
    shown = ('AR', 'fixed_', 'proposal_', 'pool')
    rest = {key: value for key, value in metrics.items() if any(name in key for name in shown)}
    print()
    for key, value in rest.items():
        print(f'{key:24} {format_value(value)}')


def format_value(value: float) -> str:
    return '-' if value < 0 else f'{value:.3f}'


class Progress:
    """A bar that learns what there is to do with the first step."""

    def __init__(self, title: str, disable: bool) -> None:
        self._bar = tqdm(desc=title, disable=disable, unit_scale=True, leave=False)

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()


if __name__ == '__main__':
    sys.exit(main())
