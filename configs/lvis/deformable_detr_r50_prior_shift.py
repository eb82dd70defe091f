_base_ = ['./deformable_detr_r50_sigmoid.py']

# the prior of each class as a shift of its logit in training
model = dict(adjustment=dict(type='PriorShift', stage='train'))
