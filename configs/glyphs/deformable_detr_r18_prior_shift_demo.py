_base_ = ['./deformable_detr_r18_sigmoid_demo.py']

# half the prior of each class is added to its logit in training
model = dict(
    type='LongTail', detector='DeformableDETR', adjustment=dict(type='PriorShift', tau=0.5)
)
