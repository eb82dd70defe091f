_base_ = [
    '../_base_/models/cascade_mask_rcnn_r50_fpn_lvis.py',
    '../_base_/datasets/custom_detection.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_mask=False),
    backbone=dict(init_cfg=None),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
# starts from MMDetection's detector of COCO (20 epochs) but for what knows classes
load_from = (
    'https://download.openmmlab.com/mmdetection/v2.0/cascade_rcnn/'
    'cascade_rcnn_r50_fpn_20e_coco/'
    'cascade_rcnn_r50_fpn_20e_coco_bbox_mAP-0.41_20200504_175131-e9872a90.pth'
)
