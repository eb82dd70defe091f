_base_ = ['./cifar100_resnet32_softmax.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/cifar100_resnet32_softmax/epoch_200.pth
model = dict(head=dict(adjustment=dict(type='IIF', link='smooth', stage='test')))
