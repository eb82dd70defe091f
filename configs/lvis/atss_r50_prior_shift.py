_base_ = ['./atss_r50_sigmoid.py']

# the prior of each class shifts its logit in training (tau: README.md)
model = dict(adjustment=dict(type='PriorShift', tau=0.5, stage='train'))
