_base_ = [
    './cascade_mask_rcnn_r101_iif_rfs.py',
    '../_base_/methods/normed.py',
    '../_base_/methods/fasa.py',
]

# in every stage
model = dict(
    roi_head=dict(
        bbox_head=[
            dict(head, **_base_.fasa_head, cls_predictor_cfg=_base_.normed_classes)
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(predictor_cfg=_base_.normed_masks),
    ),
)
custom_hooks = [*_base_.custom_hooks, *_base_.fasa_hooks]
# 2x
train_cfg = dict(max_epochs=24, val_interval=24)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=24, milestones=[16, 22]),
]
