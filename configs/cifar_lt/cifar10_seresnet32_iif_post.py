_base_ = ['./cifar10_seresnet32_cosine.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/cifar10_seresnet32_cosine/epoch_400.pth
model = dict(head=dict(adjustment=dict(type='IIF', link='smooth', stage='test')))
