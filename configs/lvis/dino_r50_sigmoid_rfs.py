_base_ = ['./dino_r50_sigmoid.py', '../_base_/methods/rfs.py']

train_dataloader = dict(dataset=dict(_base_.rfs, dataset=_base_.train_dataloader.dataset))
