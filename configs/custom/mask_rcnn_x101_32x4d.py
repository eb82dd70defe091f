_base_ = ['./mask_rcnn_r50.py']

model = dict(backbone=dict(type='ResNeXt', depth=101, groups=32, base_width=4))
# starts from MMDetection's detector of COCO (2x) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/'
    'mask_rcnn_x101_32x4d_fpn_2x_coco/'
    'mask_rcnn_x101_32x4d_fpn_2x_coco_bbox_mAP-0.422__segm_mAP-0.378_20200506_004702-faef898c.pth'
)
