# ours: the paper has no CIFAR; its numbers for ImageNet-LT, images enlarged to 224 pixels
_base_ = ['../_base_/datasets/cifar100_lt.py', '../_base_/methods/ballad.py']

model = dict(head=dict(num_classes=100), class_names='cifar100', text_chunk=None)
data_preprocessor = dict(_delete_=True, type='ClipDataPreprocessor', to_rgb=False)

# images are in memory; no jitter of colours
train_pipeline = [*_base_.clip_train_pipeline[1:3], dict(type='PackInputs')]
test_pipeline = [
    dict(type='Resize', scale=224, interpolation='bicubic', backend='pillow'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
