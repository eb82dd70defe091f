_base_ = ['mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py', '../long_tail.py']

# LVIS counts 300 detections of an image, and rare classes have low scores
model = dict(type='LongTail', detector='RTMDet', test_cfg=dict(score_thr=1e-4, max_per_img=300))
# workers stay, because they hold the images that mosaic and mixup take
train_dataloader = dict(dataset=_base_.long_tail_data)
val_dataloader = _base_.long_tail_val
test_dataloader = val_dataloader
val_evaluator = dict(_base_.long_tail_metric, metric=['bbox', 'segm'])
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, *_base_.long_tail_hooks]
tta_model = dict(tta_cfg=dict(max_per_img=300))
# 8 GPUs x 32 images, which MMDetection's config does not say
auto_scale_lr = dict(base_batch_size=256)
