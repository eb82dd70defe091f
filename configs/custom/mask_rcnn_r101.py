_base_ = ['./mask_rcnn_r50.py']

model = dict(backbone=dict(depth=101))
# starts from MMDetection's detector of COCO (2x) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/'
    'mask_rcnn_r101_fpn_2x_coco/'
    'mask_rcnn_r101_fpn_2x_coco_bbox_mAP-0.408__segm_mAP-0.366_20200505_071027-14b391c7.pth'
)
