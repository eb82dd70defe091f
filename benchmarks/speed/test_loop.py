"""How much of encoding and matching masks is hidden behind the network in MMDetection's test loop.

The network is a wait, as for a GPU: its time per image is an option. Every image has 300 predicted
masks of made-up ellipses, of which the federated annotations can judge about a tenth, and 1203
classes. Loops take turns: the network alone; with ``LongTailLVISMetric``, which encodes and matches
in a thread; and with the same metric that is waited for after every image; what is left to do after
the last image counts. The stock metric of MMDetection encodes every mask before it goes on; of it,
only that counts, for it evaluates with lvis-api in the end.

    python benchmarks/speed/test_loop.py

Writes benchmarks/results/test_loop.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--images', type=int, default=40)
    parser.add_argument('--wait', type=float, default=0.05, help='seconds of the network per image')
    parser.add_argument('--repeats', type=int, default=5)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and wrong options are answered before the slow imports

import numpy as np
import torch
from mmdet.evaluation import LVISMetric
from mmengine.structures import InstanceData

from lt_det.evaluation.lvis_metric import LongTailLVISMetric

NUM_CLASSES, PER_IMAGE, HEIGHT, WIDTH = 1203, 300, 480, 640


def make_data(num_images: int) -> tuple[dict, list[dict]]:
    """Annotations of 11 judged classes per image, and predictions for them and others."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    images, annotations, samples = [], [], []
    for image_id in range(1, num_images + 1):
        judged = rng.choice(NUM_CLASSES, 11, replace=False)
        corners = rng.random((PER_IMAGE, 2)) * [WIDTH - 120, HEIGHT - 120]
        boxes = np.hstack([corners, corners + rng.uniform(15, 120, (PER_IMAGE, 2))])
        masks = np.zeros((PER_IMAGE, HEIGHT, WIDTH), bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes):
            y, x = rows[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1], slice(int(x1), int(x2) + 1)
            inside = ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2
            inside = inside + ((columns[: len(y), x] - (x1 + x2) / 2) / (x2 - x1)) ** 2 < 0.25
            mask[int(y1) : int(y1) + len(y), x] = inside
        labels = np.where(
            rng.random(PER_IMAGE) < 0.1,
            rng.choice(judged, PER_IMAGE),
            rng.integers(0, NUM_CLASSES, PER_IMAGE),
        )
        for label, box in zip(judged[:3], boxes):
            x1, y1, x2, y2 = box.tolist()
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': int(label) + 1,
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': (x2 - x1) * (y2 - y1),
                    'segmentation': [[x1, y1, x2, y1, x2, y2, x1, y2]],
                }
            )
        images.append(
            {
                'id': image_id,
                'height': HEIGHT,
                'width': WIDTH,
                'neg_category_ids': (judged[3:] + 1).tolist(),
                'not_exhaustive_category_ids': [],
            }
        )
        instances = InstanceData(
            bboxes=torch.from_numpy(boxes.astype(np.float32)),
            scores=torch.from_numpy(rng.random(PER_IMAGE, dtype=np.float32)),
            labels=torch.from_numpy(labels),
            masks=torch.from_numpy(masks),
        )
        ori_shape = (HEIGHT, WIDTH)
        samples.append({'img_id': image_id, 'ori_shape': ori_shape, 'pred_instances': instances})
    categories = [
        {'id': c + 1, 'name': f'c{c}', 'frequency': 'rcf'[c % 3], 'image_count': 1}
        for c in range(NUM_CLASSES)
    ]
    return {'images': images, 'annotations': annotations, 'categories': categories}, samples


def loop(samples: list[dict], wait: float, metric: object | None, kind: str) -> float:
    """Seconds of a loop over all images."""
    begin = time.perf_counter()
    for sample in samples:
        time.sleep(wait)
        if metric is not None:
            metric.process({}, [sample])
        if kind == 'waited for':
            metric._worker.wait()
    if isinstance(metric, LongTailLVISMetric):
        metric.evaluate(len(samples))
    return time.perf_counter() - begin


def main() -> None:
    args = parse_args()
    where = origin()
    truth, samples = make_data(args.images)
    names = [category['name'] for category in truth['categories']]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'annotations.json')
        path.write_text(json.dumps(truth))

        def metric(kind: type) -> object:
            made = kind(ann_file=str(path), metric=['bbox', 'segm'])
            made.dataset_meta = dict(classes=names)
            return made

        for _ in range(args.repeats):
            with contextlib.redirect_stdout(io.StringIO()):
                for name, given, kind in (
                    ('network alone', None, ''),
                    ('lt_det', metric(LongTailLVISMetric), ''),
                    ('lt_det, waited for', metric(LongTailLVISMetric), 'waited for'),
                    ('MMDetection, encoding alone', metric(LVISMetric), ''),
                ):
                    found.setdefault(name, []).append(loop(samples, args.wait, given, kind))
    alone = statistics.median(found['network alone'])
    rows = [
        {
            'loop': name,
            's': round(statistics.median(times), 3),
            'added_ms_per_image': round((statistics.median(times) - alone) / args.images * 1000, 1),
        }
        for name, times in found.items()
    ]
    content = where | {'images': args.images, 'wait_s': args.wait, 'rows': rows}
    publish(args.out, 'test_loop', content, report(content))


def report(content: dict) -> str:
    lines = [
        '# Evaluation in the test loop',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}; '
        f'`{content["command"]}`',
        '',
        f'{content["images"]} images of {HEIGHT} x {WIDTH} pixels, {PER_IMAGE} masks each, boxes '
        f'and masks evaluated; a network that takes {content["wait_s"] * 1000:.0f} ms per image '
        'and no processor time. Medians.',
        '',
        '| loop | s | added to the network, ms per image |',
        '|---|---|---|',
    ]
    lines += [
        f'| {r["loop"]} | {r["s"]:.2f} | {r["added_ms_per_image"]} |' for r in content['rows']
    ]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
