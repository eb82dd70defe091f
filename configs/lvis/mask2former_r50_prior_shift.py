_base_ = ['./mask2former_r50_softmax.py']

# the prior of each class is added to its logit in training (arXiv 2007.10740)
model = dict(adjustment=dict(type='PriorShift', stage='train'))
