"""Convert a checkpoint of IIF's code on MMDetection 2.x.

    python tools/convert_checkpoint.py old.pth new.pth --ann lvis_v1_train.json

With ``--ann`` the new one carries the class counts and IIF's weights; without, testing reads them
from the training set of the config.
"""

import argparse
from pathlib import Path

from lt_det.cli.common import user_errors
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('old', help='checkpoint of MMDetection 2.x')
    parser.add_argument('new', help='where the converted one goes')
    parser.add_argument('--ann', help='annotation json of the training set')
    parser.add_argument(
        '--variant', help="IIF's rule, e.g. raw or base10_obj; default: as in the checkpoint"
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that hold more than tensors; this runs code that they contain',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    import torch
    from mmengine.runner.checkpoint import CheckpointLoader

    from lt_det.compat.checkpoint import restrict_checkpoint_loading
    from lt_det.compat.convert import convert_checkpoint

    if Path(args.new).exists():
        raise BadInputError(f'{args.new} exists already')
    restrict_checkpoint_loading(args.trust_checkpoint)
    old = CheckpointLoader.load_checkpoint(args.old, map_location='cpu')
    frequency = ClassFrequency.from_annotation_file(args.ann) if args.ann else None
    new = convert_checkpoint(old, frequency, args.variant)
    torch.save(new, args.new)
    print(f'{args.new}: {len(new["state_dict"])} tensors')


if __name__ == '__main__':
    with user_errors():
        main()
