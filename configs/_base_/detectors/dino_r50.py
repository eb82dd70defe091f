_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', '../long_tail.py']

model = dict(type='LongTail', detector='DINO')
train_dataloader = _base_.long_tail_train
val_dataloader = _base_.long_tail_val
test_dataloader = val_dataloader
val_evaluator = dict(_base_.long_tail_metric, metric=['bbox'])
test_evaluator = val_evaluator
custom_hooks = _base_.long_tail_hooks
