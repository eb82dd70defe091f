_base_ = ['mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', '../long_tail.py']

# LVIS counts 300 detections of an image
model = dict(type='LongTail', detector='Mask2Former', test_cfg=dict(max_per_image=300))
train_dataloader = _base_.long_tail_train
val_dataloader = _base_.long_tail_val
test_dataloader = val_dataloader
val_evaluator = dict(_base_.long_tail_metric, metric=['bbox', 'segm'])
test_evaluator = val_evaluator
custom_hooks = _base_.long_tail_hooks
