"""A CrossModalHead without what only training needs, as OUT.pth and its config OUT.py.

python tools/export_cross_modal.py configs/glyphs/words_cmltnet.py work_dirs/x/epoch_32.pth x_image
"""

import argparse

from lt_det.cli.common import user_errors
from lt_det.errors import BadInputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config the model was trained with')
    parser.add_argument('checkpoint')
    parser.add_argument('out', help='path of the result without ending')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner.checkpoint import load_checkpoint
    from mmpretrain.registry import MODELS
    from mmpretrain.utils import register_all_modules

    from lt_det.compat.checkpoint import restrict_checkpoint_loading

    cfg = Config.fromfile(args.config)
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    restrict_checkpoint_loading()
    if cfg.model.head.type != 'CrossModalHead':
        raise BadInputError(f'model.head of {args.config} is a {cfg.model.head.type}')
    cfg.model.backbone.pop('init_cfg', None)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, args.checkpoint, map_location='cpu', strict=True)
    before = sum(p.numel() for p in model.parameters())
    model.head.switch_to_deploy()
    after = sum(p.numel() for p in model.parameters())
    torch.save(dict(state_dict=model.state_dict()), f'{args.out}.pth')
    cfg.model.head.deploy = True
    cfg.dump(f'{args.out}.py')
    print(f'{args.out}.pth: {after:,} of {before:,} parameters')


if __name__ == '__main__':
    with user_errors():
        main()
