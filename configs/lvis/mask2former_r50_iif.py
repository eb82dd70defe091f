_base_ = ['./mask2former_r50_softmax.py']

# IIF (arXiv 2209.04861)
model = dict(adjustment=dict(type='IIF', link='smooth'))
