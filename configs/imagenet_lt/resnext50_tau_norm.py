_base_ = ['./resnext50_softmax.py']

# no training: python tools/test.py THIS_CONFIG work_dirs/resnext50_softmax/epoch_90.pth
# arXiv 1910.09217 chooses tau on the validation set
model = dict(head=dict(adjustment=dict(type='TauNorm', tau=0.7)))
