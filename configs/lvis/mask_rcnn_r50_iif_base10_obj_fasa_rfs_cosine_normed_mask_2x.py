_base_ = ['./mask_rcnn_r50_iif_rfs_cosine_normed_mask_2x.py', '../_base_/methods/fasa.py']

model = dict(roi_head=dict(bbox_head=_base_.fasa_head))
custom_hooks = [*_base_.custom_hooks, *_base_.fasa_hooks]
