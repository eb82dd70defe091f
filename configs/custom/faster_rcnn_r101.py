_base_ = ['./faster_rcnn_r50.py']

model = dict(backbone=dict(depth=101))
# starts from MMDetection's detector of COCO (2x) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
    'faster_rcnn_r101_fpn_2x_coco/'
    'faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth'
)
