"""A long-tailed part of an LVIS or COCO json.

python tools/dataset/make_long_tailed.py train.json --imbalance 100 --seed 0 --out train_lt100.json

Images are dropped, never single annotations. Prints the number of images of each class beside what
was asked for.
"""

import argparse

import numpy as np

from lt_det.cli.common import user_errors
from lt_det.datasets.long_tail_subset import ORDERS, LongTailSubset, long_tail_file
from lt_det.frequency import ClassFrequency

SHOWN = 20


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='LVIS or COCO json')
    parser.add_argument('--out', required=True, help='the new json; nothing is overwritten')
    parser.add_argument(
        '--imbalance',
        type=float,
        required=True,
        help='images of the most frequent class over those of the rarest, >= 1',
    )
    parser.add_argument('--seed', type=int, default=0, help='which images are kept')
    parser.add_argument(
        '--order',
        choices=ORDERS,
        default='frequency',
        help='which classes become rare: those that are by now, or at random by the seed',
    )
    parser.add_argument(
        '--most',
        type=int,
        help='images of the most frequent class; default: as many as give every class its share',
    )
    return parser.parse_args()


def report(subset: LongTailSubset, frequency: ClassFrequency) -> str:
    """A line per class, most frequent first; of many classes those at both ends."""
    order = np.lexsort([-subset.achieved, -subset.wanted])
    width = max(map(len, frequency.class_names))
    rows = [f'{"class":{width}}  in the file  wanted  achieved']
    rows += [
        f'{frequency.name_of(c):{width}}  {subset.present[c]:11}  {subset.wanted[c]:6}  '
        f'{subset.achieved[c]:8}'
        for c in order
    ]
    if len(order) > SHOWN:
        rows[1 + SHOWN // 2 : -SHOWN // 2] = [f'... {len(order) - SHOWN} more ...']
    return '\n'.join(rows)


def main() -> None:
    args = parse_args()
    subset, frequency = long_tail_file(
        args.source, args.out, args.imbalance, args.seed, args.order, args.most
    )
    print(report(subset, frequency))
    off = subset.achieved - subset.wanted
    print(
        f'{args.out}: {frequency.num_images} images, {frequency.num_instances} instances; '
        f'imbalance factor {subset.imbalance:.4g}, asked {args.imbalance:g}; '
        f'{(off < 0).sum()} classes below what was wanted (by {-off.min(initial=0)} images at '
        f'most), {(off > 0).sum()} above (by {off.max(initial=0)} at most)'
    )


if __name__ == '__main__':
    with user_errors():
        main()
