_base_ = ['./resnet152_softmax.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/resnet152_softmax/epoch_30.pth
model = dict(head=dict(adjustment=dict(type='PriorShift', tau=1.0, stage='test')))
