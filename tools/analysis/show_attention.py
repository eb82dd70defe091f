"""Draw where a CAM-calibrated classifier looks in images of its test set.

python tools/analysis/show_attention.py configs/glyphs/crops_camc.py epoch_12.pth --images 8
"""

import argparse

from lt_det.cli.common import add_common_arguments, load_config, user_errors
from lt_det.errors import BadInputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', default='attention.png', help='the picture')
    parser.add_argument('--images', type=int, default=8, help='spread over the test set')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    import mmcv
    import numpy as np
    import torch
    from mmengine.dataset import pseudo_collate
    from mmpretrain.apis import get_model
    from mmpretrain.registry import DATASETS

    from lt_det.compat.checkpoint import restrict_checkpoint_loading
    from lt_det.report.class_attention import draw_class_attention

    torch.set_grad_enabled(False)
    cfg = load_config(args)
    restrict_checkpoint_loading(args.trust_checkpoint)
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, '_scope_': 'mmpretrain'})
    model = get_model(cfg, args.checkpoint)
    if not hasattr(model.head, 'attention'):
        raise BadInputError(f'{args.config}: head is {type(model.head).__name__}, not CAMCClsHead')
    names = dataset.metainfo['classes']
    chosen = np.linspace(0, len(dataset) - 1, min(args.images, len(dataset))).astype(int)
    batch = pseudo_collate([dataset[index] for index in chosen.tolist()])
    data = model.data_preprocessor(batch)
    features = model.extract_feat(data['inputs'])
    attention = model.head.attention(features).cpu().numpy()
    predicted = model.head(features).argmax(1).tolist()
    labels = [int(sample.gt_label) for sample in batch['data_samples']]
    titles = [f'{names[y]}\n-> {names[p]}' for y, p in zip(labels, predicted)]
    images = [image.permute(1, 2, 0).numpy() for image in batch['inputs']]
    if cfg.data_preprocessor.get('to_rgb'):
        images = [mmcv.bgr2rgb(image) for image in images]
    draw_class_attention(images, attention, titles, args.out)
    print(f'{len(images)} images: {args.out}')


if __name__ == '__main__':
    with user_errors():
        main()
