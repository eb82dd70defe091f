_base_ = ['./resnet50_softmax.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/resnet50_softmax/epoch_200.pth
model = dict(head=dict(adjustment=dict(type='PriorShift', tau=1.0, stage='test')))
