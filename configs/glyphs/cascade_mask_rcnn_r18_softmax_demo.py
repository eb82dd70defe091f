_base_ = ['./mask_rcnn_r18_softmax_demo.py']

# as the Mask R-CNN of the demo, with a second stage on the boxes of the first, and the budget of
# _base_/detector_demo.py: images of 96 pixels, two epochs
image_size = (96, 96)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = image_size
test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
model = dict(
    type='CascadeRCNN',
    backbone=dict(frozen_stages=2),
    roi_head=dict(
        type='CascadeRoIHead',
        num_stages=2,
        stage_loss_weights=[1, 0.5],
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=1)),
        bbox_head=[
            dict(
                _base_.model.roi_head.bbox_head,
                bbox_coder=dict(
                    type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=deviations
                ),
            )
            for deviations in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1])
        ],
    ),
    train_cfg=dict(
        rcnn=[
            dict(
                _base_.model.train_cfg.rcnn,
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=iou,
                    neg_iou_thr=iou,
                    min_pos_iou=iou,
                    match_low_quality=False,
                    ignore_iof_thr=-1,
                ),
                sampler=dict(_base_.model.train_cfg.rcnn.sampler, num=16, pos_fraction=0.5),
            )
            for iou in (0.5, 0.6)
        ]
    ),
)
