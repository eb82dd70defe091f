_base_ = ['./crops_softmax.py', '../_base_/methods/ldam_drw.py']

model = dict(
    head=dict(
        cls_predictor_cfg=_base_.ldam_predictor,
        loss=dict(_base_.ldam_drw, begin=10),
    )
)
