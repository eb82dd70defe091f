_base_ = ['./mask_rcnn_r18_softmax_demo.py']

# the detector that the demo starts from: 60 other glyphs, balanced
# python tools/dataset/make_glyphs.py --size pretrain --seed 1 --out data/glyphs/pretrain
data_root = 'data/glyphs/pretrain/'
classes = 60
load_from = None
model = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False),
    roi_head=dict(bbox_head=dict(num_classes=classes), mask_head=dict(num_classes=classes)),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator

max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
