_base_ = ['./seresnet50_cosine_200e.py']

model = dict(head=dict(adjustment=dict(type='IIF', link='smooth')))
