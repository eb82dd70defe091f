_base_ = [
    '../_base_/models/cascade_mask_rcnn_r50_fpn_lvis_iif.py',
    '../_base_/datasets/lvis_v1_instance_rfs.py',
    '../_base_/schedules/schedule_2x.py',
    '../_base_/default_runtime.py',
]

# the strongest recipe of IIF's code, in every stage
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')),
    roi_head=dict(
        bbox_head=[
            dict(
                head,
                type='FASABBoxHead',
                adjustment=dict(type='IIF', link='base10', count='instance'),
                cls_predictor_cfg=dict(type='NormedLinear', temperature=8),
                fasa=dict(decay=0.1, power=1.0, up=1.1, down=0.9),
                fasa_weight=0.1,
            )
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(predictor_cfg=dict(type='NormedConv2d', temperature=20)),
    ),
)
# tells FASA the epoch
custom_hooks = [*_base_.custom_hooks, dict(type='ModuleEpochHook')]
