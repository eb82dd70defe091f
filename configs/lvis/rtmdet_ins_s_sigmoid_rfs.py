_base_ = ['./rtmdet_ins_s_sigmoid.py', '../_base_/methods/rfs.py']

train_dataloader = dict(dataset=dict(_base_.rfs, dataset=_base_.train_dataloader.dataset))
