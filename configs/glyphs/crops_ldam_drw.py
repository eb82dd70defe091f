_base_ = ['./crops_softmax.py']

# the weights begin after 80 % of the schedule, as in arXiv 1906.07413
model = dict(
    head=dict(
        cls_predictor_cfg=dict(type='CosineLinear', scale=30.0),
        loss=dict(
            _delete_=True,
            type='ClassBalancedLoss',
            beta=0.9999,
            begin=10,
            loss=dict(type='LDAMLoss', max_margin=0.5, scale=30.0),
        ),
    )
)
