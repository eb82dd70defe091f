# a small CLIP from random weights: the names of 100 glyphs are the captions
# python tools/dataset/make_glyphs.py --size crops_captions --out data/glyphs/crops_captions
_base_ = ['./ballad_r14.py']

runner_type = 'Runner'
data_root = 'data/glyphs/crops_captions/'
model = dict(
    clip=dict(pretrained=None),
    head=dict(num_classes=100),
    class_names=data_root + 'classes.txt',
    # CLIP's own loss
    contrastive=True,
    norm_eval=False,
)
files = dict(data_root=data_root, classes=data_root + 'classes.txt')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=files)
test_dataloader = dict(dataset=files)
train_cfg = dict(max_epochs=24, val_interval=8)
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, end=24),
]
custom_hooks = [*_base_.custom_hooks, dict(type='ExportClipHook')]
