_base_ = ['./cifar10_resnet32_softmax.py']

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='ClassBalancedLoss',
            beta=0.9999,
            loss=dict(type='CrossEntropyLoss'),
        )
    )
)
