_base_ = ['./cifar100_resnet32_softmax.py']

# Cao et al., arXiv 1906.07413: the weights begin at epoch 160
model = dict(
    head=dict(
        cls_predictor_cfg=dict(type='CosineLinear', scale=30.0),
        loss=dict(
            _delete_=True,
            type='ClassBalancedLoss',
            beta=0.9999,
            begin=160,
            loss=dict(type='LDAMLoss', max_margin=0.5, scale=30.0),
        ),
    )
)
