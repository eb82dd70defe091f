_base_ = [
    '../_base_/models/resnet32_cifar_cls.py',
    '../_base_/datasets/cifar100_lt.py',
    '../_base_/schedules/ldam_cifar_200e.py',
    '../_base_/classification_runtime.py',
]
