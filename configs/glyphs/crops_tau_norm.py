_base_ = ['./crops_softmax.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/crops_softmax/epoch_12.pth
model = dict(head=dict(adjustment=dict(type='TauNorm', tau=0.5)))
