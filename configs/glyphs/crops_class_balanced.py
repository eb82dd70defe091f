_base_ = ['./crops_softmax.py']

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='ClassBalancedLoss',
            beta=0.999,
            loss=dict(type='CrossEntropyLoss'),
        )
    )
)
