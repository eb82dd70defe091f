"""Cost of the masks of SMCL in a data pipeline, relative to the pipeline without them.

The training pipeline of ImageNet-LT at 224 pixels (JPEG, random crop, flip, colour jitter), with
and without masks, in turn and every item from the same seed; one process, one thread.

    python benchmarks/speed/mask_cost.py

writes benchmarks/results/mask_cost.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish, table_page


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=100, help='of 20 items each')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmpretrain.utils import register_all_modules

import lt_det  # noqa: F401  (its transforms, and what stands in for compiled mmcv ops)


def measure(repeats: int, folder: Path) -> list[dict]:
    """Median seconds of a training item of one and of three views, without and with masks."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (24, 32, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    path = folder / 'image.jpg'
    cv2.imwrite(str(path), image)
    augment = [
        dict(type='RandomResizedCrop', scale=224),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    ]
    load, pack = dict(type='LoadImageFromFile'), dict(type='PackInputs')
    stages = {}
    for prob in (0.5, 1.0):
        masked = [*augment, dict(type='SaliencyMask', prob=prob)]
        stages[f'one view, {prob:.0%} masked'] = [load, *augment, pack], [load, *masked, pack]
        views = [
            dict(type='MaskedMultiView', transforms=[augment, steps], num_views=[1, 2])
            for steps in (augment, masked)
        ]
        stages[f'a clean and two views, {prob:.0%} of these masked'] = [
            [load, view, pack] for view in views
        ]
    rows = []
    for stage, pair in stages.items():
        contenders = [Compose(list(steps)) for steps in pair]
        times = [[], []]
        for repeat in range(repeats):
            for contender, seconds in zip(contenders, times):
                start = time.process_time()
                for item in range(20):
                    np.random.seed(20 * repeat + item)
                    contender(dict(img_path=str(path), gt_label=0))
                seconds.append((time.process_time() - start) / 20)
        stock, ours = map(statistics.median, times)
        rows.append(
            {
                'stage': stage,
                'stock_s': round(stock, 6),
                'ours_s': round(ours, 6),
                'added': round(ours / stock - 1, 4),
            }
        )
        print(f'{stage}: {stock * 1e3:.2f} ms, {ours * 1e3:.2f} ms with masks', flush=True)
    return rows


def report(result: dict) -> str:
    about = 'Seconds of CPU time for an item of the training pipeline at 224 pixels, medians.'
    columns = ('stage', 'without masks', 'with masks', 'added')
    rows = (
        (row['stage'], f'{row["stock_s"]:.5f}', f'{row["ours_s"]:.5f}', f'{row["added"]:.1%}')
        for row in result['rows']
    )
    return table_page('Cost of saliency masks', result, about, columns, rows)


def main() -> None:
    args = parse_args()
    register_all_modules(init_default_scope=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    result = origin('one thread', f'torch {torch.__version__}')
    with tempfile.TemporaryDirectory() as folder:
        result['rows'] = measure(args.repeats, Path(folder))
    publish(args.out, 'mask_cost', result, report(result))


if __name__ == '__main__':
    main()
