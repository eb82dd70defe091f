_base_ = ['./crops_softmax.py', '../_base_/methods/class_balanced.py']

model = dict(head=dict(loss=dict(_base_.class_balanced, beta=0.999)))
