"""Draw training images as the network gets them; of masked ones also saliency map and box.

python tools/analysis/browse_dataset.py configs/glyphs/crops_smcl.py --number 8
"""

import argparse

from lt_det.cli.common import add_common_arguments, load_config, user_errors
from lt_det.errors import BadInputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', default='dataset.png', help='the picture')
    parser.add_argument('--number', type=int, default=8, help='of images')
    parser.add_argument('--seed', type=int, default=0, help='of the choice and of the augmentation')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.number < 1:
        raise BadInputError(f'--number is {args.number}, expected 1 or more')

    import numpy as np
    from mmdet.utils import register_all_modules as register_mmdet
    from mmengine.registry import DATASETS, init_default_scope
    from mmpretrain.utils import register_all_modules as register_mmpretrain

    from lt_det.datasets.samplers import single_labels
    from lt_det.report.saliency_pictures import draw_views, training_views

    cfg = load_config(args)
    register_mmdet(init_default_scope=False)
    register_mmpretrain(init_default_scope=False)
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    np.random.seed(args.seed)
    number = min(args.number, len(dataset))
    chosen = np.sort(np.random.choice(len(dataset), number, replace=False)).tolist()
    names = dataset.metainfo.get('classes')
    labels = single_labels(dataset) if cfg.default_scope == 'mmpretrain' else None
    items = []
    for index in chosen:
        title = str(index)
        if labels is not None and names is not None:
            title += f' {names[labels[index]]}'
        items.append((title, training_views(dataset, index)))
    preprocessor = cfg.get('data_preprocessor') or cfg.model.get('data_preprocessor') or {}
    to_rgb = preprocessor.get('to_rgb', preprocessor.get('bgr_to_rgb', True))
    draw_views(items, args.out, to_rgb)
    print(f'{number} of {len(dataset)} images: {args.out}')


if __name__ == '__main__':
    with user_errors():
        main()
