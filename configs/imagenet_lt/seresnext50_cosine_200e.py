_base_ = ['./seresnet50_cosine_200e.py']

model = dict(backbone=dict(_delete_=True, type='SEResNeXt', depth=50, groups=32, width_per_group=4))
