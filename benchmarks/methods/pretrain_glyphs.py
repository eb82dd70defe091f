"""Train the detector that the demo starts from, on 60 glyphs that no other data set has.

As a detector of ImageNet or COCO for LVIS: balanced classes, none of which is met again. Its
classifier is left out; backbone, neck, RPN, boxes and masks (both class-agnostic) are stored in
half precision. A training that is there already is not repeated.

    python benchmarks/methods/pretrain_glyphs.py

Writes configs/glyphs/pretrained/mask_rcnn_r18_glyphs.pth, with its origin and accuracy in ``meta``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/

# isort: split
from common.origin import ROOT, origin

CONFIG = ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_pretrain.py'
WEIGHTS = CONFIG.parent / 'pretrained' / 'mask_rcnn_r18_glyphs.pth'
DATA = 'data/glyphs/pretrain'
SEED = 1  # the data sets that are compared on have 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/pretrain_glyphs'))
    parser.add_argument('--out', type=Path, default=WEIGHTS, help='the weights')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    import torch

    from lt_det.datasets.glyphs import make_glyphs

    where = origin(f'torch {torch.__version__}')
    make_glyphs(DATA, 'pretrain', SEED)
    if not (args.work_dir / 'metrics.json').is_file():
        command = [sys.executable, '-m', 'lt_det', 'train', CONFIG, '--work-dir', args.work_dir]
        subprocess.run(command, check=True)
    metrics = json.loads((args.work_dir / 'metrics.json').read_text())
    checkpoint = (args.work_dir / 'last_checkpoint').read_text().strip()
    state = torch.load(checkpoint, map_location='cpu', weights_only=False)['state_dict']
    plain = {key: metrics[key] for key in ('bbox_AP', 'segm_AP')}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=without_classifier(state), meta=where | plain), args.out)
    print(f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB, {plain}')


def without_classifier(state: dict) -> dict:
    """Tensors of a detector but for its classifier; those of floats in half precision."""
    kept = {key: value for key, value in state.items() if 'bbox_head.fc_cls.' not in key}
    return {
        key: value.half() if value.is_floating_point() else value for key, value in kept.items()
    }


if __name__ == '__main__':
    main()
