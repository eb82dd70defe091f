_base_ = ['mmdet::atss/atss_r50_fpn_1x_coco.py', '../long_tail.py']

# LVIS counts 300 detections of an image, and rare classes have low scores
model = dict(type='LongTail', detector='ATSS', test_cfg=dict(score_thr=1e-4, max_per_img=300))
train_dataloader = _base_.long_tail_train
val_dataloader = _base_.long_tail_val
test_dataloader = val_dataloader
val_evaluator = dict(_base_.long_tail_metric, metric=['bbox'])
test_evaluator = val_evaluator
custom_hooks = _base_.long_tail_hooks
