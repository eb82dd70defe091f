"""Evaluate a file of detections of any framework against LVIS or COCO annotations.

Reads result files in the format of lvis-api and Detectron2 (a json list of records), predictions of
lt_det predict, the pickles of MMDetection (lt_det test --out) and Detectron2's
instances_predictions.pth.

    lt_det evaluate results.json --ann data/lvis/annotations/lvis_v1_val.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInputError
from ..formats.files import check_writable, write_text

if TYPE_CHECKING:
    from ..evaluation import LVISEvaluator
    from ..evaluation.ground_truth import GroundTruth

# those of lt_det.evaluation, which is imported when there is something to evaluate
PROTOCOLS = ('auto', 'lvis', 'coco')
IOU_TYPES = ('bbox', 'segm', 'boundary')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('results', help='.json, .pkl or .pth')
    parser.add_argument('--ann', required=True, help='LVIS or COCO annotation json')
    parser.add_argument(
        '--iou-type', nargs='+', choices=IOU_TYPES, help='default: what the results hold'
    )
    parser.add_argument(
        '--protocol',
        choices=PROTOCOLS,
        default='auto',
        help='rules; auto: lvis if the annotations have federated lists, else coco',
    )
    parser.add_argument(
        '--train', metavar='FILE', help='training json, for rare, common and frequent classes'
    )
    parser.add_argument(
        '--bounds',
        nargs=2,
        type=int,
        metavar='N',
        help='most training images of a rare and of a common class (LVIS: 10 100)',
    )
    parser.add_argument(
        '--max-dets',
        type=int,
        help='detections that count, of an image (lvis: 300) or of a category of an image '
        '(coco: 100), -1 for all',
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='of a .pkl or .pth: class names in the order of the model, a text file of them, or '
        '"by-id" if classes are numbered as the categories of --ann',
    )
    parser.add_argument('--fixed', action='store_true', help='add fixed AP and AP-pool')
    parser.add_argument('--proposals', action='store_true', help='add class-agnostic recall')
    parser.add_argument(
        '--diagnose', metavar='FILE', help='print and write errors, confusions and calibration'
    )
    parser.add_argument(
        '--against',
        metavar='RESULTS',
        help='another run on the same images: its row, the difference and a 95%% interval of it',
    )
    parser.add_argument(
        '--resamples', type=int, default=200, metavar='N', help='of --against (default: 200)'
    )
    parser.add_argument('--image-ids', metavar='FILE', help='score these images: one id per line')
    parser.add_argument('--categories', nargs='+', metavar='NAME', help='score these categories')
    parser.add_argument(
        '--skip-invalid', action='store_true', help='count invalid records instead of stopping'
    )
    parser.add_argument('--per-class', metavar='FILE', help='write AP by category: .csv, .parquet')
    parser.add_argument('--out', metavar='FILE', help='write all metrics as json')
    parser.add_argument('--workers', type=int, help='threads (same result); default: all cores')
    parser.add_argument('--no-progress', action='store_true', help='do not say what is being done')


def run(args: argparse.Namespace) -> None:
    from ..evaluation.diagnosis import format_diagnosis
    from ..evaluation.ground_truth import GroundTruth, check_bounds
    from ..evaluation.per_class import check_per_class_file, per_class_table, write_per_class
    from ..frequency import ClassFrequency

    if args.per_class:
        check_per_class_file(args.per_class)
    check_outputs(args)
    check_bounds(args.bounds)
    frequency = ClassFrequency.from_annotation_file(args.train) if args.train else None
    say(args, f'reading {args.ann}')
    truth = GroundTruth(args.ann, args.protocol, frequency, args.bounds)
    metrics: dict[str, float] = {}
    diagnoses = {}
    comparisons = []
    sources = find_sources(args, args.results, truth)
    others = find_others(args, truth, sources) if args.against else {}
    evaluators = make_evaluators(args, truth, sources)
    for iou_type, evaluator in evaluators.items():
        say(args, f'evaluating {iou_type}')
        source = sources[iou_type]
        if args.proposals or args.fixed or args.diagnose or iou_type in others:
            source = evaluator.read(source)
        if args.diagnose and iou_type != 'boundary':
            diagnoses[iou_type] = evaluator.diagnose(source)
            print(f'\n{format_diagnosis(diagnoses[iou_type])}')
        for key, value in score(evaluator, source, args).items():
            metrics[f'{iou_type}_{key}'] = value
        for field, count in evaluator.skipped.items():
            print(f'{iou_type}: left out {count} records with an invalid {field}')
        if iou_type in others:
            say(args, f'comparing {iou_type}')
            comparisons.append(evaluator.compare(others[iou_type], source, args.resamples))
    if comparisons:  # short: the rest of the metrics is that of one run
        from ..report.comparison_table import format_comparison, run_names
        from ..report.table import format_table

        print(f'\n{format_table(metrics)}\n')
        print(format_comparison(comparisons, run_names([args.against, args.results])))
    else:
        print_metrics(metrics, evaluators)
    if diagnoses:
        write_text(args.diagnose, json.dumps(diagnoses, indent=1) + '\n')
    if args.per_class:
        write_per_class(per_class_table(evaluators), args.per_class)
    if args.out:
        write_text(args.out, json.dumps(metrics, indent=2) + '\n')


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse a file to write that cannot be, that is read, or that two options name."""
    read = (args.results, args.ann, args.train, args.against, args.image_ids, *(args.classes or ()))
    taken = {os.path.realpath(path) for path in read if path is not None}
    for option in ('per_class', 'diagnose', 'out'):
        path = getattr(args, option)
        if path is None:
            continue
        if os.path.realpath(path) in taken:
            name = option.replace('_', '-')
            raise BadInputError(
                f'--{name} is {path}, another file of this command; expected a new one'
            )
        check_writable(path)
        taken.add(os.path.realpath(path))


def make_evaluators(
    args: argparse.Namespace, truth: GroundTruth, iou_types: Iterable[str]
) -> dict[str, LVISEvaluator]:
    """Those of all IoU types, each of which looks at the annotations and options first."""
    from ..evaluation import LVISEvaluator

    return {
        iou_type: LVISEvaluator(
            truth,
            iou_type,
            max_dets=args.max_dets,
            skip_invalid=args.skip_invalid,
            image_ids=read_ids(args.image_ids),
            category_ids=category_ids(args.categories, truth),
            num_workers=args.workers,
        )
        for iou_type in iou_types
    }


def score(evaluator: LVISEvaluator, source: object, args: argparse.Namespace) -> dict[str, float]:
    metrics = {}
    if args.proposals:
        recall = evaluator.proposal_recall(source)
        metrics.update({f'proposal_{key}': value for key, value in recall.items()})
    if args.fixed:
        metrics.update(evaluator.fixed_ap(source))
    return {**evaluator.evaluate(source), **metrics}


def find_sources(args: argparse.Namespace, results: str, truth: GroundTruth) -> dict[str, object]:
    """What to evaluate for each IoU type."""
    if Path(results).suffix != '.json':
        from ..formats.foreign_results import read_foreign  # needs torch

        ids = dict(zip(truth.category_names, truth.category_ids.tolist()))
        found = read_foreign(results, class_names(args, results, truth), ids)
        wanted = args.iou_type or list(found)
        missing = [t for t in wanted if ('bbox' if t == 'bbox' else 'segm') not in found]
        if missing:
            raise BadInputError(f'{results} has no masks, which {missing[0]} needs')
        return {t: found['bbox' if t == 'bbox' else 'segm'] for t in wanted}
    from ..formats.image_predictions import holds_images
    from ..formats.result_files import holds_key

    boxes, masks = (holds_key(results, key) for key in ('bbox', 'segmentation'))
    source: object = results
    if holds_images(results):
        source = read_predictions(results, truth)
    wanted = args.iou_type or ['bbox'] * (boxes or not masks) + ['segm'] * masks
    if boxes and masks and set(wanted) != {'bbox'}:
        print(
            'segm: areas of detections are those of their boxes, which the records carry, as in '
            'lvis-api; without boxes they are those of the masks'
        )
    for iou_type in set(wanted) - {'bbox'} if boxes and not masks else ():
        print(f'{iou_type}: no record has a mask; boxes are taken for masks, as in lvis-api')
    return dict.fromkeys(wanted, source)


def read_predictions(results: str, truth: GroundTruth) -> list[dict]:
    """Records of what ``lt_det predict`` wrote; says what is not in them."""
    from ..formats.image_predictions import read_image_predictions

    ids = dict(zip(truth.category_names, truth.category_ids.tolist()))
    found = read_image_predictions(results, truth.columns, ids)
    for remark in found.remarks(truth.source):
        print(f'note: {remark}', file=sys.stderr)
    return found.records


def find_others(
    args: argparse.Namespace, truth: GroundTruth, sources: dict[str, object]
) -> dict[str, object]:
    """What ``--against`` gives for the IoU types that can be compared."""
    if args.resamples < 1:
        raise BadInputError(f'--resamples: expected at least 1, got {args.resamples}')
    others = find_sources(args, args.against, truth)
    shared = {t: other for t, other in others.items() if t in sources and t != 'boundary'}
    if not shared:
        raise BadInputError(
            f'--against {args.against}: nothing to compare; it has {" and ".join(others)}, '
            f'{args.results} has {" and ".join(sources)} (boundary AP is not compared)'
        )
    return shared


def class_names(args: argparse.Namespace, results: str, truth: GroundTruth) -> list[str]:
    """Names of the classes of a model."""
    if args.classes is None:
        raise BadInputError(
            f'{results} numbers its classes and does not name them: give --classes (names in '
            'the order of the model, a text file of them, or by-id if they are numbered as the '
            f'categories of {args.ann})'
        )
    if args.classes == ['by-id']:
        return truth.category_names
    if len(args.classes) == 1 and Path(args.classes[0]).is_file():
        from ..datasets.class_names import read_class_names

        return read_class_names(args.classes[0])
    return args.classes


def read_ids(path: str | None) -> list[int] | None:
    if path is None:
        return None
    try:
        ids = [int(line) for line in Path(path).read_text(encoding='utf-8-sig').split()]
    except (OSError, ValueError) as error:
        raise BadInputError(f'--image-ids {path}: expected one integer per line: {error}') from None
    if not ids:
        raise BadInputError(f'--image-ids {path} is empty, expected one integer per line')
    return ids


def category_ids(names: list[str] | None, truth: GroundTruth) -> list[int] | None:
    if names is None:
        return None
    ids = dict(zip(truth.category_names, truth.category_ids.tolist()))
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise BadInputError(f'--categories: {unknown[0]!r} is not in {truth.source}')
    return [ids[name] for name in names]


def print_metrics(metrics: dict[str, float], evaluators: dict[str, LVISEvaluator]) -> None:
    from ..report.table import format_table

    table = format_table(metrics)
    if table:
        print(f'\n{table}')
    for iou_type, evaluator in evaluators.items():
        if not any(evaluator.truth.frequency):
            print(
                f'\n{iou_type}: no APr, APc, APf: {evaluator.truth.source} does not say how many '
                'training images a class has; --train FILE does'
            )
            continue
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


def say(args: argparse.Namespace, what: str) -> None:
    if not args.no_progress and sys.stderr.isatty():
        print(f'{what} ...', file=sys.stderr)
