_base_ = [
    '../_base_/models/resnet32_cifar_cls.py',
    '../_base_/datasets/cifar10_lt.py',
    '../_base_/schedules/ldam_cifar_200e.py',
    '../_base_/classification_runtime.py',
]

model = dict(head=dict(num_classes=10))
