_base_ = ['../_base_/detectors/retinanet_r50.py', '../_base_/datasets/lvis_v1_files.py']

model = dict(bbox_head=dict(num_classes=1203))
train_dataloader = dict(dataset=_base_.lvis_train)
val_dataloader = dict(dataset=_base_.lvis_val)
test_dataloader = val_dataloader
val_evaluator = _base_.lvis_metric
test_evaluator = val_evaluator
