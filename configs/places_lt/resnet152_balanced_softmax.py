_base_ = ['./resnet152_softmax.py']

model = dict(head=dict(adjustment=dict(type='PriorShift', tau=1.0, stage='train')))
