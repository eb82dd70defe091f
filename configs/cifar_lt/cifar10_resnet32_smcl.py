_base_ = ['./cifar10_resnet32_softmax.py', '../_base_/methods/smcl_cifar.py']

model = _base_.smcl_model
# what is masked is filled with the mean of the images
mask = dict(_base_.smcl_mask, fill=_base_.data_preprocessor.mean)
train_pipeline = [
    dict(
        type='MaskedMultiView',
        transforms=[_base_.smcl_clean, [*_base_.smcl_varied, mask]],
        num_views=[1, 2],
    ),
    dict(type='PackInputs', algorithm_keys=['visible_share']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
