_base_ = ['./crops_softmax.py']

model = dict(head=dict(adjustment=dict(type='PriorShift', tau=1.0, stage='train')))
