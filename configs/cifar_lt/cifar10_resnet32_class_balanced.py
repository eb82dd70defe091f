_base_ = ['./cifar10_resnet32_softmax.py', '../_base_/methods/class_balanced.py']

model = dict(head=dict(loss=_base_.class_balanced))
