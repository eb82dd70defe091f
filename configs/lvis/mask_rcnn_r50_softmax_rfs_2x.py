_base_ = ['./mask_rcnn_r50_softmax_2x.py', '../_base_/methods/rfs.py']

train_dataloader = dict(dataset=dict(_base_.rfs, dataset=_base_.train_dataloader.dataset))
