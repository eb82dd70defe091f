_base_ = ['mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py', '../long_tail.py']

# LVIS counts 300 detections of an image
model = dict(type='LongTail', detector='SparseRCNN', test_cfg=dict(rcnn=dict(max_per_img=300)))
train_dataloader = _base_.long_tail_train
val_dataloader = _base_.long_tail_val
test_dataloader = val_dataloader
val_evaluator = dict(_base_.long_tail_metric, metric=['bbox'])
test_evaluator = val_evaluator
custom_hooks = _base_.long_tail_hooks
