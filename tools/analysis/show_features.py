"""Draw the features that classifiers have for rare classes, by t-SNE, one panel a classifier.

python tools/analysis/show_features.py --model configs/glyphs/words_softmax.py softmax.pth \\
    --model configs/glyphs/words_cmltnet.py cmltnet.pth --out tail.png
"""

import argparse
from pathlib import Path

from lt_det.cli.common import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--model', nargs=2, action='append', required=True, metavar=('CONFIG', 'CHECKPOINT')
    )
    parser.add_argument('--classes', type=int, default=10, help='number of the rarest classes')
    parser.add_argument('--out', default='features.png', help='the picture')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    import numpy as np
    from mmengine.config import Config
    from mmengine.device import get_device
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner
    from mmengine.runner.checkpoint import load_checkpoint
    from mmpretrain.registry import MODELS
    from mmpretrain.utils import register_all_modules

    from lt_det.compat.checkpoint import restrict_checkpoint_loading
    from lt_det.report.features import draw_features, features_of, tsne

    restrict_checkpoint_loading()
    register_all_modules(init_default_scope=False)
    panels, names, rarest = {}, (), None
    for config, checkpoint in args.model:
        cfg = Config.fromfile(config)
        init_default_scope(cfg.default_scope)
        cfg.model.backbone.pop('init_cfg', None)
        cfg.model.data_preprocessor = cfg.data_preprocessor
        model = MODELS.build(cfg.model)
        load_checkpoint(model, checkpoint, map_location='cpu')
        model.to(get_device()).eval()
        if rarest is None:  # of the first model, for all
            counts = model.head.statistics.frequency.image_count
            rarest = np.argsort(counts, kind='stable')[: args.classes]
        loader = Runner.build_dataloader(cfg.test_dataloader)
        features, labels = features_of(model, loader, rarest)
        panels[Path(config).stem] = tsne(features, args.seed), labels
        names = loader.dataset.CLASSES
    draw_features(panels, names, args.out)
    print(f'{len(labels)} images of the {len(rarest)} rarest classes: {args.out}')


if __name__ == '__main__':
    with user_errors():
        main()
