_base_ = ['./resnet10_softmax.py']

model = dict(head=dict(adjustment=dict(type='IIF', link='smooth')))
