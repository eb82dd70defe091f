"""Render the embedded glyphs data: detection images, or crops with lists for classification."""

import argparse
import sys

from lt_det.datasets.glyphs import CROP_SIZES, SIZES, make_crops, make_glyphs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--size', choices=sorted({**SIZES, **CROP_SIZES}), default='demo', help='preset'
    )
    parser.add_argument('--out', help='folder of the data set (default: data/glyphs/SIZE)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, help='rendering threads (same result)')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace what an earlier run wrote there'
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    out = args.out or f'data/glyphs/{args.size}'
    try:
        make = make_crops if args.size in CROP_SIZES else make_glyphs
        make(out, args.size, args.seed, overwrite=args.overwrite, workers=args.workers)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
