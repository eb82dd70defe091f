_base_ = ['./cifar10_resnet32_softmax.py']

model = dict(head=dict(adjustment=dict(type='IIF', link='smooth')))
