_base_ = ['./htc_r101_iif.py', '../_base_/methods/rfs.py']

train_dataloader = dict(dataset=dict(_base_.rfs, dataset=_base_.train_dataloader.dataset))
