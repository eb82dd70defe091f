"""Draw where a CAM-calibrated detector sees the class of each of its detections.

python tools/analysis/show_cam.py configs/lvis/mask_rcnn_r50_camc.py epoch_12.pth image.jpg
"""

import argparse

from lt_det.cli.common import add_common_arguments, load_config, user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('image', help='image file')
    parser.add_argument('--out', default='cam.png', help='the picture')
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument('--most', type=int, default=12, help='largest number of detections')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmdet.apis import init_detector
    from mmengine.device import get_device

    from lt_det.compat.checkpoint import restrict_checkpoint_loading
    from lt_det.report.cams import attention_of_detections, draw_attention

    cfg = load_config(args)
    restrict_checkpoint_loading(args.trust_checkpoint)
    model = init_detector(cfg, args.checkpoint, device=get_device())
    detections, attention = attention_of_detections(model, args.image, args.score_thr, args.most)
    names = model.dataset_meta.get('classes') or ()
    if len(names) != model.roi_head.bbox_head.num_classes:  # the checkpoint has no names
        names = [str(label) for label in range(model.roi_head.bbox_head.num_classes)]
    draw_attention(args.image, detections, attention, names, args.out)
    print(f'{len(detections)} detections with score >= {args.score_thr}: {args.out}')


if __name__ == '__main__':
    with user_errors():
        main()
