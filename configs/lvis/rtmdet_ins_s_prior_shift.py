_base_ = ['./rtmdet_ins_s_sigmoid.py']

# the prior of each class as a shift of its logit in training
model = dict(adjustment=dict(type='PriorShift', stage='train'))
