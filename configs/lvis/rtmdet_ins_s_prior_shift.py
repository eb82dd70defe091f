_base_ = ['./rtmdet_ins_s_sigmoid.py']

# the prior of each class shifts its logit in training (tau: README.md)
model = dict(adjustment=dict(type='PriorShift', tau=0.5, stage='train'))
