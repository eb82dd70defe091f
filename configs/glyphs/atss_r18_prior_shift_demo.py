_base_ = ['./atss_r18_sigmoid_demo.py']

# half the prior of each class is added to its logit in training
model = dict(type='LongTail', detector='ATSS', adjustment=dict(type='PriorShift', tau=0.5))
