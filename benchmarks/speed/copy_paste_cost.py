"""Cost of pasting objects: RareCopyPaste against MMDetection's CopyPaste, on the same two images.

Images of 800 x 1067 pixels with 12 objects (about the mean of LVIS) and with 100, masks as bitmaps
for the stock transform and as CompactMasks for ours; up to three objects of the second image are
pasted into the first. Both get a copy of the images, whose time is not counted; in turn, one
process, one thread. Peaks are those of memory allocated by the transform.

    python benchmarks/speed/copy_paste_cost.py

writes benchmarks/results/copy_paste_cost.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
from copy import deepcopy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.lvis_data import HEIGHT, WIDTH, polygons, random_boxes
from common.origin import option_parser, origin, publish, table_page

SCALE = 800 / HEIGHT
OBJECTS, PASTED = (12, 100), 3


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=30)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import CopyPaste
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from lt_det.datasets import CompactMasks, RareCopyPaste


def image_of(rng: np.random.Generator, objects: int) -> dict:
    height, width = round(HEIGHT * SCALE), round(WIDTH * SCALE)
    outlines = SCALE * polygons(rng, random_boxes(rng, objects))
    masks = CompactMasks.from_segmentations([[p.tolist()] for p in outlines], height, width)
    return dict(
        img=rng.integers(0, 256, (height, width, 3), np.uint8),
        gt_bboxes=masks.get_bboxes(HorizontalBoxes),
        gt_bboxes_labels=rng.integers(0, 9, objects),
        gt_ignore_flags=np.zeros(objects, bool),
        gt_masks=CompactMasks.from_crops(masks.crops, height, width),
    )


def as_bitmaps(image: dict) -> dict:
    masks = image['gt_masks']
    whole = masks[:].masks  # of a copy: who asks for them has no rectangles from then on
    return dict(image, gt_masks=BitmapMasks(whole, masks.height, masks.width))


def timed(transform: BaseTransform, images: tuple[dict, dict]) -> float:
    destination, source = deepcopy(images)
    start = time.process_time()
    transform.transform(dict(destination, mix_results=[source]))
    return time.process_time() - start


def peak(transform: BaseTransform, images: tuple[dict, dict]) -> float:
    """MiB."""
    destination, source = deepcopy(images)
    tracemalloc.start()
    transform.transform(dict(destination, mix_results=[source]))
    found = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return found


def measure(repeats: int) -> list[dict]:
    rows = []
    stock, ours = CopyPaste(max_num_pasted=PASTED + 1), RareCopyPaste(max_objects=PASTED)
    ours._rare = np.ones(9, bool)
    for objects in OBJECTS:
        rng = np.random.default_rng(0)
        np.random.seed(0)
        seconds: list[list[float]] = [[], []]
        for _ in range(repeats):
            images = image_of(rng, objects), image_of(rng, PASTED)
            bitmaps = as_bitmaps(images[0]), as_bitmaps(images[1])
            seconds[0].append(timed(stock, bitmaps))
            seconds[1].append(timed(ours, images))
        times = [statistics.median(each) for each in seconds]
        peaks = [peak(stock, bitmaps), peak(ours, images)]
        rows.append(
            {
                'objects': objects,
                'stock_ms': round(1e3 * times[0], 2),
                'ours_ms': round(1e3 * times[1], 2),
                'speedup': round(times[0] / times[1], 1),
                'stock_mib': round(peaks[0], 1),
                'ours_mib': round(peaks[1], 1),
            }
        )
    return rows


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    content = origin('one thread', f'torch {torch.__version__}')
    content['rows'] = rows = measure(args.repeats)
    about = (
        'Medians of CPU time for pasting up to three objects into an image of 800 x 1067 pixels; '
        'memory allocated at the peak. `benchmarks/speed/copy_paste_cost.py` says how.'
    )
    columns = ('objects', 'CopyPaste, ms', 'RareCopyPaste, ms', 'ratio', 'MiB', 'ours, MiB')
    cells = [[str(value) for value in row.values()] for row in rows]
    page = table_page('Cost of pasting objects', content, about, columns, cells)
    publish(args.out, 'copy_paste_cost', content, page)


if __name__ == '__main__':
    main()
