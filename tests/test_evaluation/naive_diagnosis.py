"""What lt_det.evaluation.diagnosis computes, written as plain loops over small cases."""

import numpy as np

from .diagnosis_cases import CATEGORIES

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')


def iou(a, b, crowd=False):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a[2] * a[3] if crowd else a[2] * a[3] + b[2] * b[3] - both)


class Naive:
    """Matches of a case at a threshold: ``state`` of a detection is a hit's annotation, 'wrong' or
    'ignored'; detections that are not judged are not in it."""

    def __init__(self, truth, detections, protocol, max_dets, threshold=0.5):
        self.truth, self.detections = truth, detections
        self.lvis = protocol == 'lvis'
        self.annotations = {a['id']: a for a in truth['annotations']}
        self.counted = [a for a in truth['annotations'] if not self._ignore(a)]
        self.state = {}
        for image in sorted(truth['images'], key=lambda i: i['id']):
            numbers = [n for n, d in enumerate(detections) if d['image_id'] == image['id']]
            numbers.sort(key=lambda n: -detections[n]['score'])
            if self.lvis:
                numbers = numbers[:max_dets]
            for category, _, _ in CATEGORIES:
                own = [n for n in numbers if detections[n]['category_id'] == category]
                self._match(image, category, own if self.lvis else own[:max_dets], threshold)

    def _ignore(self, annotation):
        return bool(annotation.get('ignore' if self.lvis else 'iscrowd'))

    def _match(self, image, category, numbers, threshold):
        there = [
            a
            for a in self.truth['annotations']
            if (a['image_id'], a['category_id']) == (image['id'], category)
        ]
        if self.lvis and not there and category not in image['neg_category_ids']:
            return
        there.sort(key=self._ignore)
        taken = set()
        for n in numbers:
            best, largest = None, min(threshold, 1 - 1e-10)
            for a in there:
                if a['id'] in taken and not a['iscrowd']:
                    continue
                if best is not None and not self._ignore(best) and self._ignore(a):
                    break
                overlap = iou(self.detections[n]['bbox'], a['bbox'], a['iscrowd'])
                if overlap >= largest:
                    best, largest = a, overlap
            if best is not None:
                taken.add(best['id'])
                self.state[n] = 'ignored' if self._ignore(best) else best['id']
            elif self.lvis and category in image['not_exhaustive_category_ids']:
                self.state[n] = 'ignored'
            else:
                self.state[n] = 'wrong'

    def ranked(self):
        """Numbers of the detections that count, as the engine ranks them."""
        alive = [n for n, state in self.state.items() if state != 'ignored']
        detections = self.detections
        return sorted(alive, key=lambda n: (-detections[n]['score'], detections[n]['category_id']))

    def errors(self):
        """Kind and annotation of each wrong detection, and ids of the missed annotations."""
        kinds, covered = {}, set()
        for n, state in self.state.items():
            if state != 'wrong':
                continue
            d = self.detections[n]
            same, other = [0, None], [0, None]
            for a in self.counted:
                if a['image_id'] == d['image_id']:
                    best = same if a['category_id'] == d['category_id'] else other
                    overlap = iou(d['bbox'], a['bbox'])
                    if overlap > best[0]:
                        best[:] = overlap, a['id']
            if 0.1 <= same[0] <= 0.5:
                kinds[n] = 'localisation', same[1]
            elif other[0] >= 0.5:
                kinds[n] = 'classification', other[1]
            elif same[0] >= 0.5:
                kinds[n] = 'duplicate', None
            elif other[0] <= 0.1:
                kinds[n] = 'background', None
            else:
                kinds[n] = 'both', None
            covered.add(kinds[n][1])
        hit = set(self.state.values())
        missed = [a['id'] for a in self.counted if a['id'] not in hit | covered]
        return kinds, missed

    def precision(self, repaired=None):
        """AP50 per class with annotations, one kind of error repaired."""
        kinds, missed = self.errors()
        hit = set(self.state.values())
        rows = []
        best = {}
        for n in sorted(kinds, key=lambda n: (-self.detections[n]['score'], n)):
            target = kinds[n][1]
            if target is not None and target not in hit:
                best.setdefault(target, n)
        for n in self.ranked():
            category = self.detections[n]['category_id']
            if n not in kinds or kinds[n][0] != repaired:
                rows.append((category, self.detections[n]['score'], n not in kinds))
            elif best.get(kinds[n][1]) == n:
                category = self.annotations[kinds[n][1]]['category_id']
                rows.append((category, self.detections[n]['score'], True))
        result = {}
        for category, _, _ in CATEGORIES:
            own = [a['id'] for a in self.counted if a['category_id'] == category]
            left = [i for i in own if repaired != 'missed' or i not in missed]
            hits = [h for c, _, h in sorted(rows, key=lambda r: -r[1]) if c == category]
            if own:
                result[category] = average_precision(hits, len(left)) if left else 1.0
        return result

    def taker(self, annotation):
        """Class of the best detection on an annotation, None for none."""
        found = [
            (-d['score'], n, d['category_id'])
            for n, d in enumerate(self.detections)
            if self.state.get(n, 'ignored') != 'ignored'
            and d['image_id'] == annotation['image_id']
            and iou(d['bbox'], annotation['bbox']) >= 0.5
        ]
        return min(found)[2] if found else None


def average_precision(hits, wanted):
    """Of hits and misses from the highest score down, at 101 recall points."""
    recall, precision = [], []
    for number in range(1, len(hits) + 1):
        recall.append(sum(hits[:number]) / wanted)
        precision.append(sum(hits[:number]) / number)
    points = np.linspace(0, 1, 101).tolist()
    best = [max((p for r, p in zip(recall, precision) if r >= x), default=0) for x in points]
    return sum(best) / 101
