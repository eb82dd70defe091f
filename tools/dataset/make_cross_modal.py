"""Lists with words of NUS-WIDE or VireoFood-172, whole or as a long-tailed subset.

python tools/dataset/make_cross_modal.py vireofood172 --root data/vireofood172 --imbalance 100
"""

import argparse

import numpy as np

from lt_det.cli.common import user_errors
from lt_det.datasets.cross_modal_sources import SOURCES, long_tailed, write_lists


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', choices=sorted(SOURCES))
    parser.add_argument('--root', help='folder of the data set (default: data/NAME)')
    parser.add_argument(
        '--imbalance', type=float, help='imbalance factor of the training images, >= 1'
    )
    parser.add_argument('--seed', type=int, default=0, help='which training images are left')
    parser.add_argument('--out', help='folder of the lists (default: ROOT/lists or ROOT/lt100)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    root = args.root or f'data/{args.name}'
    source = SOURCES[args.name](root)
    folder = 'lists'
    if args.imbalance is not None:
        splits = source.splits
        splits['train'] = long_tailed(splits['train'], args.imbalance, args.seed)
        folder = f'lt{args.imbalance:g}'
    out = args.out or f'{root}/{folder}'
    write_lists(source, out)
    counts = np.bincount(source.splits['train'].labels, minlength=len(source.classes))
    sizes = ', '.join(f'{len(split.paths)} {name}' for name, split in source.splits.items())
    print(
        f'{out}: {len(source.classes)} classes of {counts.max()} to {counts.min()} training '
        f'images, {len(source.vocabulary)} words; images: {sizes}'
    )


if __name__ == '__main__':
    with user_errors():
        main()
