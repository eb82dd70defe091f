_base_ = ['./cifar100_resnet32_softmax.py', '../_base_/methods/smcl_cifar.py']

model = _base_.smcl_model
train_pipeline = [
    dict(
        type='MaskedMultiView',
        transforms=[_base_.smcl_clean, [*_base_.smcl_varied, _base_.smcl_mask]],
        num_views=[1, 2],
    ),
    dict(type='PackInputs', algorithm_keys=['visible_share']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
