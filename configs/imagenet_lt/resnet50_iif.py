_base_ = ['./resnet50_softmax.py']

model = dict(head=dict(adjustment=dict(type='IIF', link='smooth')))
