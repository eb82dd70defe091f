_base_ = ['./seresnet152_cosine.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/seresnet152_cosine/epoch_30.pth
model = dict(head=dict(adjustment=dict(type='IIF', link='smooth', stage='test')))
