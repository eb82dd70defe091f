"""The data of a page of a classifier; see ``data`` for what it consists of.

N images, C classes, R resamples.
"""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from ...errors import BadInputError
from ...evaluation.classification import SHOT_GROUPS, class_accuracy, reliability
from ...evaluation.diagnosis.comparison import interval_of, means_of_known, resample
from ...frequency import SHOT_BOUNDS
from .classified import Classified
from .gallery import MOST
from .provenance import common_provenance
from .run_files import RunFiles
from .run_note import PREDICTIONS
from .thumbnails import as_url, jpeg, outline_of, shrunk, veil
from .values import centred_interval, known, plain

_METRICS = ('top1', 'macro', *SHOT_GROUPS, 'top5')
_HISTOGRAM = 50
_MOST_CONFUSIONS = 2000
_NEAR = 1e-6


def _files(results: Classified) -> np.ndarray:
    """Names of the images, without folders, which may lie elsewhere for another run."""
    return np.array([path.replace('\\', '/').rpartition('/')[2] for path in results.image])


def _as_ordered(theirs: Classified, mine: Classified) -> None:
    """Bring results into the order of others, where both are of the same images."""
    paths = mine.image.tolist()
    if len(set(paths)) < len(paths) or sorted(paths) != sorted(theirs.image.tolist()):
        return
    place = {path: number for number, path in enumerate(theirs.image.tolist())}
    order = np.array([place[path] for path in paths], np.int64)
    for name in ('label', 'predicted', 'confidence', 'image'):
        setattr(theirs, name, getattr(theirs, name)[order])


def classifier_parts(run: RunFiles, base: RunFiles | None, resamples: int, seed: int) -> dict:
    """All of the schema that is of the evaluation."""
    mine, theirs = (None if r is None else _read(r) for r in (run, base))
    if mine is None:
        tiles = _tiles(run, base, {}, {})
        return {'tiles': tiles, 'provenance': _provenance(run, base, None)}
    if theirs is not None:
        _as_ordered(theirs, mine)
    if theirs is not None and not (
        np.array_equal(mine.label, theirs.label)
        and np.array_equal(mine.name, theirs.name)
        and np.array_equal(_files(mine), _files(theirs))
    ):
        raise BadInputError(
            f'{base.folder} was tested on {len(theirs.label)} images of {len(theirs.name)} '
            f'classes, {run.folder} on {len(mine.label)} of {len(mine.name)}, and images, labels '
            'or names of classes differ; expected a baseline on the same images'
        )
    weights = resample(np.ones(len(mine.label), bool), resamples, seed)
    values = resampled(mine, weights)
    before = None if theirs is None else resampled(theirs, weights)
    confusions = _confusions(mine)
    wrong = Counter(mine.predicted[~mine.correct].tolist())
    counts = np.bincount(mine.label, minlength=len(mine.name)).tolist()
    hits = np.bincount(mine.label[mine.correct], minlength=len(mine.name)).tolist()
    largest: list[dict | None] = [None] * len(mine.name)
    for entry in reversed(confusions):
        largest[entry['truth']] = {'class': entry['predicted'], 'count': entry['count']}
    classes = {
        'name': mine.name.tolist(),
        'group': mine.group.tolist(),
        'train_images': mine.train_images.tolist(),
        'train_instances': None,
        'images': counts,
        'annotations': counts,
        'ap': {'accuracy': plain(values['classes'][0])},
        'ar': None,
        'hits': hits,
        'misses': [n - h for n, h in zip(counts, hits)],
        'false_positives': [wrong[k] for k in range(len(mine.name))],
        'confused_with': largest,
        'against': None,
    }
    if before is not None:
        changes = values['classes'] - before['classes']
        classes['against'] = {
            'ap': {'accuracy': plain(before['classes'][0])},
            'difference': plain(changes[0]),
            'interval': [interval_of(column) for column in changes[1:].T],
        }
    return {
        'groups': _groups(mine),
        'provenance': _provenance(run, base, mine),
        'tiles': _tiles(run, base, values, before or {}),
        'classes': classes,
        'flows': {**_flows(mine), 'confusions': confusions[:_MOST_CONFUSIONS]},
        'scores': {'groups': {g: _scores(mine, chosen) for g, chosen in _images(mine).items()}},
        'gallery': _gallery(mine, run.notes),
    }


def resampled(found: Classified, weights: np.ndarray) -> dict[str, np.ndarray]:
    """(1 + R,) of each metric, and (1 + R, C) accuracies as 'classes'.

    Args:
        found: Predictions.
        weights: (1 + R, N) how often each image is in each resample.
    """
    size = len(found.name)
    totals = np.stack([np.bincount(found.label, w, size) for w in weights])
    rights = np.stack([np.bincount(found.label, w * found.correct, size) for w in weights])
    classes = np.where(totals > 0, rights / np.maximum(totals, 1), np.nan)
    values = {'classes': classes, 'macro': means_of_known(classes)}
    values['top1'] = rights.sum(1) / np.maximum(totals.sum(1), 1)
    for group in SHOT_GROUPS:
        values[group] = means_of_known(classes[:, found.group == group])
    return values


def _read(run: RunFiles) -> Classified | None:
    if (run.folder / PREDICTIONS).is_file():
        return Classified.read(run.folder / PREDICTIONS)
    run.notes.append(f'only numbers: {run.folder} has no {PREDICTIONS}, which a test writes')
    return None


def _tiles(run: RunFiles, base: RunFiles | None, values: dict, before: dict) -> list[dict]:
    tiles = []
    for metric in _METRICS:
        value = known(run.metrics, metric)
        if value is None:
            continue
        mine, theirs = values.get(metric), before.get(metric)
        if mine is not None and not abs(mine[0] - value) < _NEAR:
            run.notes.append(
                f'{metric} is {value:.6f} in metrics.json and {mine[0]:.6f} of the predictions in '
                f'{run.folder}: are they of another test? Its interval is left out'
            )
            mine = None
        old = known(base.metrics, metric) if base else None
        both = old is not None and mine is not None and theirs is not None
        tiles.append(
            {
                'metric': metric,
                'iou_type': None,
                'value': value,
                'interval': None if mine is None else centred_interval(mine),
                'against': old,
                'difference': None if old is None else value - old,
                'difference_interval': interval_of((mine - theirs)[1:]) if both else None,
            }
        )
    return tiles


def _groups(found: Classified) -> dict[str, dict]:
    few, medium = SHOT_BOUNDS
    ranges = f'up to {few - 1}', f'{few} to {medium}', f'above {medium}'
    numbers = Counter(found.group.tolist())
    return {
        name: {'name': name, 'classes': numbers[name], 'images': images}
        for name, images in zip(SHOT_GROUPS[::-1], ranges)
        if numbers[name]
    }


def _images(found: Classified) -> dict[str, np.ndarray]:
    """(N,) bool, images of all classes and of those of each group that has any."""
    groups = {'all': np.ones(len(found.label), bool)}
    groups |= {name: found.group[found.label] == name for name in _groups(found)}
    return groups


def _confusions(found: Classified) -> list[dict]:
    wrong = ~found.correct
    pairs = Counter(zip(found.label[wrong].tolist(), found.predicted[wrong].tolist()))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [{'truth': a, 'predicted': b, 'count': count} for (a, b), count in ordered]


def _flows(found: Classified) -> dict:
    names = list(_groups(found))
    column = np.zeros(len(found.label), np.int64)
    for number, name in enumerate(names, 1):
        column[~found.correct & (found.group[found.predicted] == name)] = number
    size = len(names) + 1
    return {
        'columns': ['correct', *names],
        'groups': {
            name: np.bincount(column[chosen], minlength=size).tolist()
            for name, chosen in _images(found).items()
        },
    }


def _scores(found: Classified, chosen: np.ndarray) -> dict:
    """Of the images (N,) bool."""
    confidence, correct = found.confidence[chosen], found.correct[chosen]
    measured = reliability(confidence, correct, found.num_bins)
    edges = np.linspace(0, 1, _HISTOGRAM + 1)
    bins = [
        {
            'lower': b / found.num_bins,
            'upper': (b + 1) / found.num_bins,
            'count': int(measured.count[b]),
            'confidence': float(measured.confidence[b]),
            'accuracy': float(measured.accuracy[b]),
        }
        for b in np.flatnonzero(measured.count).tolist()
    ]
    return {
        'ece': measured.calibration_error if len(confidence) else None,
        'bins': bins,
        'hits': np.histogram(confidence[correct], edges)[0].tolist(),
        'false_positives': np.histogram(confidence[~correct], edges)[0].tolist(),
        'edges': edges.tolist(),
        'best_f1': None,
    }


def picks(found: Classified) -> list[tuple[str, int, int]]:
    """Kind, class and image of each crop, at most ``MOST``.

    The worst classes of the rarest group come first; of each in turn the errors and hits with the
    highest confidence.
    """
    accuracy = class_accuracy(found.label, found.correct, len(found.name))
    ranks = [SHOT_GROUPS[::-1].index(group) for group in found.group]
    order = np.lexsort((accuracy, ranks))  # NaN comes last in its group
    by_confidence = np.argsort(-found.confidence, kind='stable')
    label, predicted = found.label[by_confidence], found.predicted[by_confidence]
    queues = []
    for k in order.tolist():
        kinds = {
            'missed': by_confidence[(label == k) & (predicted != k)][:4],
            'hit': by_confidence[(label == k) & (predicted == k)][:2],
            'false_positive': by_confidence[(label != k) & (predicted == k)][:2],
        }
        columns = zip_longest(*([(kind, k, i) for i in rows] for kind, rows in kinds.items()))
        queues.append([pick for row in columns for pick in row if pick is not None])
    ordered = [pick for queue in queues for pick in queue[:3]]
    ordered += [pick for queue in queues for pick in queue[3:]]
    return ordered[:MOST]


def _gallery(found: Classified, notes: list[str]) -> list[dict]:
    known = found.shown.tolist() if found.attention.size else []
    attended = {image: place for place, image in enumerate(known)}
    crops = [_picture(found, *pick, attended.get(pick[2])) for pick in picks(found)]
    if crops and not attended:
        notes.append(
            'no attention: the model has no class activation map (a last feature map, its average '
            'and one linear layer), or the run is of before such maps were kept'
        )
    if None in crops:
        notes.append(f'{crops.count(None)} of {len(crops)} images cannot be read: not shown')
    return [crop for crop in crops if crop is not None]


def _picture(found: Classified, kind: str, k: int, index: int, attended: int | None) -> dict | None:
    """A crop of the schema, with the map of that number where there is one."""
    path = str(found.image[index])
    if attended is not None:
        content = found.view[attended]
        coded = np.frombuffer(content, np.uint8)
        small = cv2.imdecode(coded, cv2.IMREAD_COLOR) if len(coded) else None
    else:
        pixels = cv2.imread(path, cv2.IMREAD_COLOR) if Path(path).is_file() else None
        small = None if pixels is None else shrunk(pixels)
        content = b'' if small is None else jpeg(small)
    if small is None:
        return None
    own, given = int(found.label[index]), int(found.predicted[index])
    names = found.name
    return {
        'kind': kind,
        'class': k,
        'predicted': given,
        'truth': own,
        'score': float(found.confidence[index]),
        'iou': None,
        'image': Path(path).name or f'number {index}',
        'src': as_url(content, 'jpeg'),
        'width': small.shape[1],
        'height': small.shape[0],
        'veil': None if attended is None else as_url(veil(found.attention[attended]), 'png'),
        'outline': None if attended is None else _core(found.attention[attended], small.shape),
        **dict.fromkeys(('box', 'truth_box', 'truth_outline')),
        'text': f'{names[own]} found' if own == given else f'{names[own]} taken for {names[given]}',
    }


def _core(attention: np.ndarray, shape: tuple[int, ...]) -> list[list[float]] | None:
    """The largest region with at least half of the most of a map, in pixels of a picture (H, W)."""
    smooth = cv2.resize(attention.astype(np.float32), shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if not smooth.any():  # nothing speaks for the class
        return None
    return outline_of(smooth >= 0.5 * smooth.max())


def _provenance(run: RunFiles, base: RunFiles | None, found: Classified | None) -> dict:
    images = None if found is None else len(found.label)
    comparable = 'where the data are a public test set, with accuracies over all of its images'
    return {
        'protocol': 'classification',
        'max_dets': None,
        'comparable': comparable,
        'data': {'file': run.note.get('ann_file'), 'images': images, 'annotations': None},
        **common_provenance(run, base),
    }
