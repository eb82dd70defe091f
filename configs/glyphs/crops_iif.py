_base_ = ['./crops_softmax.py']

model = dict(head=dict(adjustment=dict(type='IIF', link='smooth')))
