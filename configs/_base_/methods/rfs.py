# repeat factor sampling (Gupta et al. 2019), t = 1e-3, around the data set of the config:
# train_dataloader = dict(dataset=dict(_base_.rfs, dataset=_base_.train_dataloader.dataset))
rfs = dict(_delete_=True, type='RepeatFactorDataset', oversample_thr=1e-3)
