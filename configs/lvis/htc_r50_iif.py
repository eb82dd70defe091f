_base_ = ['./htc_r50_softmax.py', '../_base_/methods/iif.py']

# in all stages
model = dict(
    roi_head=dict(
        bbox_head=[dict(head, adjustment=_base_.iif) for head in _base_.model.roi_head.bbox_head]
    ),
    test_cfg=_base_.iif_test_cfg,
)
