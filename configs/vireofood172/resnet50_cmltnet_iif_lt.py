_base_ = ['./resnet50_cmltnet_lt.py']

model = dict(head=dict(adjustment=dict(_delete_=True, type='IIF', link='smooth', norm='mean')))
