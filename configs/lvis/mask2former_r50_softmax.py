_base_ = ['../_base_/detectors/mask2former_r50.py', '../_base_/datasets/lvis_v1_files.py']

model = dict(
    panoptic_head=dict(num_things_classes=1203, loss_cls=dict(class_weight=[1.0] * 1203 + [0.1])),
    panoptic_fusion_head=dict(num_things_classes=1203),
)
train_dataloader = dict(dataset=_base_.lvis_train)
val_dataloader = dict(dataset=_base_.lvis_val)
test_dataloader = val_dataloader
val_evaluator = _base_.lvis_metric
test_evaluator = val_evaluator
