"""How often a calibration takes a setting that is worth nothing, and one that is worth something.

No network: each class has its objects on images of its own; whether a setting finds an object is
drawn. Without a gain all settings find each object with the same probability; with one, a family of
settings finds those of the rarer half of the classes more often, by ``--gain`` times its strength.
The value of a class is the share of its objects that is found. Settings are the default ones of a
softmax with a background, as ``lt_det calibrate`` chooses among them.

    python benchmarks/methods/calibration_guard.py

Writes benchmarks/results/calibration_guard.json and .md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import option_parser, origin, publish

FOUND = 0.4  # probability that an object is found
SAME = 0.9  # of the objects a setting finds or misses as the model as it is does
# classes, and images with an object of each: the rarer half, the other half
CASES = ((20, 4, 20), (40, 2, 10), (100, 2, 10), (40, 8, 40))


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument('--draws', type=int, default=300)
    parser.add_argument('--gain', type=float, default=0.3)
    args = parser.parse_args()
    where = origin()
    rows = [
        {
            'classes': classes,
            'rare': rare,
            'frequent': frequent,
            **{
                name: sum(taken(classes, rare, frequent, gain, draw) for draw in range(args.draws))
                for name, gain in (('without', 0.0), ('with', args.gain))
            },
        }
        for classes, rare, frequent in CASES
    ]
    content = {**where, 'draws': args.draws, 'gain': args.gain, 'rows': rows}
    publish(args.out, 'calibration_guard', content, report(content))


def taken(classes: int, rare: int, frequent: int, gain: float, seed: int) -> bool:
    """Whether a calibration of drawn detections takes a setting."""
    import numpy as np

    from lt_det.calibration.select import select
    from lt_det.calibration.settings import default_settings

    rng = np.random.default_rng(seed)
    settings = default_settings('softmax', background=True)
    is_rare = np.arange(classes) < classes // 2
    labels = np.repeat(np.arange(classes), np.where(is_rare, rare, frequent))
    size = len(settings), len(labels)
    found = np.where(rng.random(size) < SAME, rng.random(size[1]) < FOUND, rng.random(size) < FOUND)
    for number, setting in enumerate(settings):
        if setting.family == 'NorCal':
            more = rng.random(size[1]) < gain * min(setting.strength, 1)
            found[number] |= more & is_rare[labels]
    one_hot = labels[:, None] == np.arange(classes)

    def values(number: int, weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid='ignore'):
            return (weights * found[number]) @ one_hot / (weights @ one_hot)

    groups = {'AP': np.ones(classes, bool), 'APr': is_rare, 'APf': ~is_rare}
    images = np.ones(len(labels), bool)
    return select(settings, values, groups, images, seed=seed, strata=labels).fold


def report(content: dict) -> str:
    """The page of the json."""
    lines = [
        '# What the guard of a calibration lets through',
        '',
        f'{content["date"]}, {content["machine"]}, commit {content["commit"]}; '
        f'`{content["command"]}`.',
        '',
        f'{content["draws"]} drawn data sets for each number; what is drawn: the head of '
        'benchmarks/methods/calibration_guard.py. The interval of the cross-fitted gain is one of '
        '95%, so without a gain 2.5% would be taken if it held.',
        '',
        '| classes | images of a rare / frequent class | taken without a gain | with one |',
        '|---|---|---|---|',
    ]
    for row in content['rows']:
        shares = (f'{100 * row[name] / content["draws"]:.1f}%' for name in ('without', 'with'))
        images = f'{row["rare"]} / {row["frequent"]}'
        lines.append(f'| {row["classes"]} | {images} | {" | ".join(shares)} |')
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
