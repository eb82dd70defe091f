"""The whole content of a report page as one plain json dict, from the files of a run alone.

SCHEMA (format 1). What a run does not have is null, and ``notes`` says why. Every number is raw:
fractions in 0..1, counts as counts; a fraction is null where there is nothing to judge (never -1).
C classes are numbered 0..C-1 by ascending category id (detector) or label (classifier); lists of
``classes`` have C items. Groups are ``r``, ``c``, ``f`` (detector) or ``few``, ``medium``, ``many``
(classifier); a dict by group holds ``all`` and the groups that have classes. Texts (names of
classes and files, notes) are as in the data: hostile input to whoever shows them.

::

    format        1
    kind          'detector' | 'classifier'
    title         str, the name of the config
    iou_type      'bbox' | 'segm' | null: of hits, misses, errors, flows, scores and gallery
    groups        {'r': {'name': 'rare', 'classes': n, 'images': 'up to 10'}, ...}, rarest first
    provenance    protocol ('lvis'|'coco'|'classification'), max_dets (int|null), comparable (str),
                  config (str|null), checkpoint {file, sha256}|null, data {file, images,
                  annotations (int|null)}, versions {package: version}, date (str|null), command
                  (str|null), against (str|null: the title of the baseline)
    tiles         [{metric ('AP', 'APr', ...; classifier: 'top1', 'macro', 'many', ...), iou_type
                  ('bbox'|'segm'|null), value, interval [lo, hi]|null, against, difference,
                  difference_interval}], intervals of 95% from a bootstrap over images
    classes       null, or
                  name [str], group [str: '' where unknown], train_images [int|null],
                  train_instances [int|null]|null,
                  images, annotations [int]: evaluated images with the class, its annotations
                  ap {'bbox': [v|null], 'segm': ...} (classifier: {'accuracy': [v|null]}),
                  ar likewise|null,
                  hits, misses, false_positives [int]|null, at IoU 0.5,
                  confused_with [{class, count}|null]|null, the class that takes most of them,
                  against null|{ap {...}, difference [v|null], interval [[lo, hi]|null]}, the
                  difference (this run - baseline) of iou_type
    errors        null|{kinds [str], groups {g: {AP50, cost {kind: v}, count {kind: n}}}}
    flows         null|{columns ['correct', groups..., 'missed'], groups {g: [count]}, confusions
                  [{truth: class, predicted: class|null (missed), count}], most frequent first, at
                  most 2000}
    scores        null|{groups {g: {ece, bins [{lower, upper, count, confidence, accuracy}], hits
                  [50 counts], false_positives [50 counts], edges [51], best_f1 {threshold, f1,
                  precision, recall}|null}}}
    gallery       [] or up to 200 of {kind 'missed'|'hit'|'false_positive', class (missed, hit: of
                  the truth; false_positive: as predicted), predicted class|null, truth class|null
                  (false_positive: of the annotation under it), score|null, iou|null, image (file
                  name), src 'data:image/jpeg;base64,...', width, height (of the crop), box [x, y,
                  w, h]|null (detection), truth_box|null, outline, truth_outline [[x, y], ...]|null
                  (masks; classifier: outline of where the predicted class is seen), all in pixels
                  of the crop, text (str, what happened), veil (classifier: null|
                  'data:image/png;base64,...', which darkens the rest)}, worst rare classes first
    curves        null|{loss [[iter, v]], lr [[iter, v]], metrics {name: [[iter, v]]}}
    calibration_html  null|str, trusted html of ``calibration_section`` (names escaped there)
    inspect       null|dict, what ``lt_det inspect --json`` writes for the annotation files
    notes         [str]
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ...errors import BadInputError
from ...evaluation.diagnosis.comparison import interval_of, resample
from ...evaluation.diagnosis.matches import metric_groups
from ...evaluation.ground_truth import FREQUENCY_GROUPS, GroundTruth
from ...evaluation.kept_detections import KeptDetections
from ...evaluation.lvis_eval import IOU_TYPES
from ...forks import Fork
from ...frequency import LVIS_BOUNDS, ClassFrequency
from .detector import Judged, Precision, class_columns, diagnosis_parts, measure
from .extras import calibration_html, curves, inspection
from .gallery import gallery
from .provenance import provenance
from .run_files import RunFiles, find_run, limit_of, load_detections, load_truth
from .values import centred_interval, known, plain

FORMAT = 1
RESAMPLES = 100
_METRICS = ('AP', 'APr', 'APc', 'APf')
_NAMES = {'r': 'rare', 'c': 'common', 'f': 'frequent'}
_NEAR = 1e-6  # of an AP that is computed anew


def collect(
    work_dir: str | os.PathLike,
    against: str | os.PathLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Collect everything that a page shows from the files of a run.

    Args:
        work_dir: A work dir with ``metrics.json``, see ``run_files.find_run``.
        against: That of the baseline.
        resamples: Of the bootstrap over images, from which the intervals are.
        seed: Of it.

    Returns:
        Plain json of the schema above.

    Raises:
        MissingFileError: A work dir or its numbers are not there.
        BadInputError: A file cannot be used, or the two runs are of other data.
    """
    if resamples < 1:
        raise BadInputError(f'resamples is {resamples}; expected at least 1')
    run = find_run(work_dir)
    base = None if against is None else find_run(against)
    kinds = [r.note.get('kind', 'detector') for r in (run, base) if r is not None]
    if len(set(kinds)) > 1:
        raise BadInputError(f'{work_dir} is of a {kinds[0]}, {against} of a {kinds[1]}')
    page = {
        'format': FORMAT,
        'kind': kinds[0],
        'title': run.title,
        'iou_type': None,
        'groups': {},
        **dict.fromkeys(('provenance', 'tiles', 'classes', 'errors', 'flows', 'scores')),
        'gallery': [],
    }
    if kinds[0] == 'detector':
        page |= _detector(run, base, resamples, seed)
    else:
        from .classifier import classifier_parts

        page |= classifier_parts(run, base, resamples, seed)
    page['curves'] = curves(run)
    page['calibration_html'] = calibration_html(run)
    page['inspect'] = inspection(run)
    notes = run.notes + [f'baseline: {note}' for note in (base.notes if base else ())]
    page['notes'] = list(dict.fromkeys(notes))
    return page


def _detector(run: RunFiles, base: RunFiles | None, resamples: int, seed: int) -> dict:
    truth = load_truth(run)
    other = kept = None
    if truth is not None:
        other = None if base is None else _other_run(base, truth)
        kept = load_detections(run, truth)
        if kept is not None:
            kept.set_groups(truth)
    if kept is None or not kept.detections:
        tiles = _tiles(run, base, {}, {}, {}, same=True)
        return {'tiles': tiles, 'provenance': provenance(run, base, truth, None)}
    if other is not None and not np.array_equal(other.images & kept.images, kept.images):
        raise BadInputError(
            f'{base.folder} was scored on {int(other.images.sum())} images, {run.folder} on '
            f'{int(kept.images.sum())}, not all of them the same; expected the same images'
        )
    same = other is None or np.array_equal(other.categories, kept.categories)
    if not same:
        run.notes.append(
            f'{run.folder} was scored on {int(kept.categories.sum())} classes, {base.folder} on '
            f'{int(other.categories.sum())}: numbers of the baseline are here of the classes of '
            f'{run.folder}, which are not those of its metrics.json'
        )
    weights = resample(kept.images, resamples, seed)
    main = max(kept.detections)  # masks, where there are any
    with Fork(_others, run, base, truth, kept, other, weights) as others:  # beside the main one
        chosen = Judged.of(truth, kept, main, limit_of(run, truth), weights)
        judged, judged_other = others.result()
    judged[main] = chosen
    groups = metric_groups(truth, kept.categories)
    classes = class_columns(judged, main, kept)
    classes |= {'train_images': _numbers(truth.train_images), **_instances(run, truth)}
    classes['against'] = _against(judged, judged_other, main)
    images = run.note.get('images') or ''
    with ThreadPoolExecutor(1) as pool:  # images are read and written beside the diagnosis
        crops = pool.submit(gallery, chosen, kept.categories, images, run.notes)
        parts = diagnosis_parts(chosen, kept.categories)
    if parts['scores'] is None:
        run.notes.append('no calibration: scores are not within 0 and 1')
    return {
        'iou_type': main,
        'groups': _groups(run, truth, kept),
        'provenance': provenance(run, base, truth, kept),
        'tiles': _tiles(run, base, judged, judged_other, groups, same),
        'classes': classes,
        **parts,
        'gallery': crops.result(),
    }


def _others(
    run: RunFiles,
    base: RunFiles | None,
    truth: GroundTruth,
    kept: KeptDetections,
    other: KeptDetections | None,
    weights: np.ndarray,
) -> tuple[dict[str, Precision], dict[str, Precision]]:
    """Of the run all IoU types but the main one, and of the baseline those of the run."""
    found = {}, {}
    for iou_type in sorted(kept.detections)[:-1]:
        found[0][iou_type] = measure(truth, kept, iou_type, limit_of(run, truth), weights)[0]
    for iou_type in kept.detections if other is not None else ():
        if iou_type in other.detections:
            both = KeptDetections(kept.images, kept.categories, other.detections)
            found[1][iou_type] = measure(truth, both, iou_type, limit_of(base, truth), weights)[0]
    return found


def _other_run(base: RunFiles, truth: GroundTruth) -> KeptDetections | None:
    """Detections of the baseline, on the same annotations."""
    theirs = load_truth(base)
    if theirs is None:
        return None
    same = (
        np.array_equal(theirs.image_ids, truth.image_ids)
        and np.array_equal(theirs.category_ids, truth.category_ids)
        and np.array_equal(theirs.ids, truth.ids)
    )
    if not same:
        raise BadInputError(
            f'{base.folder} was evaluated on {theirs.source}, which has other images, categories '
            f'or annotations than {truth.source}; expected a baseline on the same data'
        )
    return load_detections(base, truth)


def _tiles(
    run: RunFiles,
    base: RunFiles | None,
    judged: dict[str, Precision],
    others: dict[str, Precision],
    groups: dict[str, np.ndarray],
    same: bool,
) -> list[dict]:
    """Headline numbers, as ``metrics.json`` has them; intervals where detections are there.

    Of a baseline that was not scored on the ``same`` classes they are computed on those of the run.
    """
    tiles = []
    for iou_type in IOU_TYPES:
        for metric in _METRICS:
            value = known(run.metrics, f'{iou_type}_{metric}')
            if value is None:
                continue
            tile = {'metric': metric, 'iou_type': iou_type, 'value': value, 'interval': None}
            means = _means(run, judged, groups, iou_type, metric, value)
            tile['interval'] = None if means is None else centred_interval(means)
            before = known(base.metrics, f'{iou_type}_{metric}') if base else None
            if before is not None and not same:
                before = _mean(others, groups, iou_type, metric)
            tile['against'] = before
            tile['difference'] = None if before is None else value - before
            tile['difference_interval'] = None
            if before is not None and means is not None:
                theirs = _means(base, others, groups, iou_type, metric, before)
                if theirs is not None:
                    tile['difference_interval'] = interval_of((means - theirs)[1:])
            tiles.append(tile)
    return tiles


def _mean(
    judged: dict[str, Precision], groups: dict[str, np.ndarray], iou_type: str, metric: str
) -> float | None:
    if iou_type not in judged or metric not in groups:
        return None
    return float(judged[iou_type].means(groups[metric])[0])


def _means(
    run: RunFiles,
    judged: dict[str, Precision],
    groups: dict[str, np.ndarray],
    iou_type: str,
    metric: str,
    value: float,
) -> np.ndarray | None:
    """(1 + R,) of a metric; None, and a note, if the detections are not those of the metrics."""
    if iou_type not in judged or metric not in groups:
        return None
    means = judged[iou_type].means(groups[metric])
    if abs(means[0] - value) < _NEAR:
        return means
    run.notes.append(
        f'{iou_type}_{metric} is {value:.6f} in metrics.json and {means[0]:.6f} of the detections '
        f'in {run.folder}: are they of another test? Its interval is left out'
    )
    return None


def _against(judged: dict[str, Precision], others: dict[str, Precision], main: str) -> dict | None:
    """``classes.against`` of the schema."""
    if main not in others:
        return None
    changes = judged[main].precision - others[main].precision
    return {
        'ap': {iou_type: plain(other.precision[0]) for iou_type, other in others.items()},
        'difference': plain(changes[0]),
        'interval': [interval_of(column) for column in changes[1:].T],
    }


def _groups(run: RunFiles, truth: GroundTruth, kept: KeptDetections) -> dict[str, dict]:
    rare, common = run.note.get('bounds') or LVIS_BOUNDS
    ranges = f'up to {rare}', f'{rare + 1} to {common}', f'above {common}'
    groups = {}
    for name, images in zip(FREQUENCY_GROUPS, ranges):
        number = int((kept.categories & (truth.frequency == name)).sum())
        if number:
            groups[name] = {'name': _NAMES[name], 'classes': number, 'images': images}
    return groups


def _instances(run: RunFiles, truth: GroundTruth) -> dict[str, list | None]:
    """Training instances: of the annotation file, or counted in that of the training."""
    counts = [category.get('instance_count') for category in truth.categories]
    train = run.note.get('train_ann_file')
    if None in counts and train and Path(train).is_file():
        frequency = ClassFrequency.from_annotation_file(train)
        by_name = dict(zip(frequency.class_names or (), frequency.instance_count.tolist()))
        counts = [by_name.get(name) for name in truth.category_names]
    return {'train_instances': None if not any(counts) else _numbers(counts)}


def _numbers(values: list) -> list[int | None]:
    return [None if value is None else int(value) for value in values]
