_base_ = ['./cifar100_resnet32_softmax.py']

model = dict(head=dict(adjustment=dict(type='IIF', link='smooth')))
