_base_ = ['./seresnet50_cosine_200e.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/seresnet50_cosine_200e/epoch_200.pth
model = dict(head=dict(adjustment=dict(type='IIF', link='smooth', stage='test')))
