_base_ = [
    '../_base_/models/resnext50_cls.py',
    '../_base_/datasets/imagenet_lt.py',
    '../_base_/schedules/decoupling_90e.py',
    '../_base_/classification_runtime.py',
]
