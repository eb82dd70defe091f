_base_ = ['./resnet50_smcl.py']

model = dict(backbone=dict(_delete_=True, type='ResNeXt', depth=50, groups=32, width_per_group=4))
