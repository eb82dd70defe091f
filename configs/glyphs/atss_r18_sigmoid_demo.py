_base_ = ['./retinanet_r18_sigmoid_demo.py']

model = dict(
    type='ATSS',
    bbox_head=dict(
        type='ATSSHead',
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        # one anchor of a cell, of 32 and 64 pixels
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=1,
            ratios=[1.0],
            strides=[8, 16],
        ),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(assigner=dict(_delete_=True, type='ATSSAssigner', topk=9)),
)
# the classifier alone is new
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={'atss_cls': dict(lr_mult=5.0)}))
