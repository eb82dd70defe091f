_base_ = ['../_base_/detectors/sparse_rcnn_r50.py', '../_base_/datasets/lvis_v1_files.py']

stages = [dict(head, num_classes=1203) for head in _base_.model.roi_head.bbox_head]
model = dict(roi_head=dict(bbox_head=stages))
train_dataloader = dict(dataset=_base_.lvis_train)
val_dataloader = dict(dataset=_base_.lvis_val)
test_dataloader = val_dataloader
val_evaluator = _base_.lvis_metric
test_evaluator = val_evaluator
