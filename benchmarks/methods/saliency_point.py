"""Whether the most salient point of an image lies in the object, by saliency map.

Discs of random colour on 224 x 224 pixels of random colours, smooth (interpolated from 12 x 12) or
fine (40 x 40), and the glyph crops of ``smcl.py`` (40 x 40). Reported are the share of the images
whose point lies in the object's box, and the share whose point lies elsewhere and within 4% of the
border, where the seam of the Fourier transform is.

    python benchmarks/methods/saliency_point.py

writes benchmarks/results/saliency_point.json and .md. The maps of OpenCV need a contrib build; they
are left out without one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish


def parse_args() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument('--number', type=int, default=500, help='of images in a row')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and a wrong option are answered before the slow imports

# isort: split
import cv2
import numpy as np
from common.lying_backgrounds import RECIPE, SIDE

from lt_det.datasets.glyphs.crops import plan_crops
from lt_det.datasets.glyphs.render import render_image
from lt_det.datasets.saliency import FineGrained, RandomPoint, SpectralResidual, salient_point

SIZE = 224
Case = tuple[np.ndarray, tuple[float, float, float, float]]


def discs(number: int, radius: int, grid: int) -> Iterator[Case]:
    """Images (224, 224, 3), and the boxes of the discs: x1, y1, x2, y2, end excluded."""
    rng = np.random.default_rng(radius + grid)
    for _ in range(number):
        coarse = rng.uniform(60, 200, (grid, grid, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        x, y = rng.integers(radius + 5, SIZE - radius - 5, 2).tolist()
        cv2.circle(image, (x, y), radius, rng.integers(0, 255, 3).tolist(), -1)
        yield image, (x - radius, y - radius, x + radius + 1, y + radius + 1)


def crops(number: int) -> Iterator[Case]:
    """Glyph crops (40, 40, 3), and the boxes of what is to be seen of their glyphs."""
    plan = plan_crops(replace(RECIPE, seed=0))
    for index in np.random.default_rng(0).choice(len(plan.images), number, replace=False):
        image, (placed,) = render_image(plan, plan.images[index])
        x, y, w, h = cv2.boundingRect(placed.visible.astype(np.uint8))
        finer = len(placed.visible) / len(image)  # its grid
        yield image, (x / finer, y / finer, (x + w) / finer, (y + h) / finer)


def maps(side: int, sigma: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    found = {
        'random': RandomPoint(),
        'spectral, edge 0': SpectralResidual(side, sigma, edge=0),
        'spectral': SpectralResidual(side, sigma),
    }
    if hasattr(cv2, 'saliency'):
        stock = cv2.saliency.StaticSaliencySpectralResidual_create()
        found["OpenCV's spectral"] = lambda image: stock.computeSaliency(image)[1]
        found['fine-grained'] = FineGrained()
    return found


def measure(cases: Iterator[Case], saliency: dict[str, Callable]) -> dict[str, list[float]]:
    """Of each map, the shares of points in the box, and at the border but not in the box."""
    found: dict[str, list] = {name: [] for name in saliency}
    for image, (x1, y1, x2, y2) in cases:
        height, width = image.shape[:2]
        for name, each in saliency.items():
            y, x = salient_point(each(image), height, width)
            inside = x1 <= x + 0.5 < x2 and y1 <= y + 0.5 < y2
            at_border = min(x, y, width - 1 - x, height - 1 - y) < 0.04 * height
            found[name].append((inside, at_border and not inside))
    return {name: np.mean(points, 0).round(4).tolist() for name, points in found.items()}


def report(result: dict) -> str:
    names = list(result['rows'][0]['maps'])
    lines = [
        '# Where saliency maps are largest',
        '',
        f'{result["date"]}, `{result["command"]}`, {result["machine"]}, commit {result["commit"]}.',
        f'{result["number"]} images each. In the object; in brackets at the border instead.',
        '',
        '| images | ' + ' | '.join(names) + ' |',
        '|---' * (len(names) + 1) + '|',
    ]
    for row in result['rows']:
        cells = [f'{inside:.0%} ({border:.0%})' for inside, border in row['maps'].values()]
        lines.append(f'| {row["images"]} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    result = origin(f'OpenCV {cv2.__version__}')
    np.random.seed(0)
    rows = []
    for grid, background in ((12, 'smooth'), (40, 'fine')):
        for radius in (8, 25, 45):
            found = measure(discs(args.number, radius, grid), maps(64, 3.0))
            rows.append({'images': f'discs of radius {radius}, {background}', 'maps': found})
    rows.append({'images': 'glyph crops', 'maps': measure(crops(args.number), maps(SIDE, 2.0))})
    result |= {'number': args.number, 'rows': rows}
    publish(args.out, 'saliency_point', result, report(result))


if __name__ == '__main__':
    main()
