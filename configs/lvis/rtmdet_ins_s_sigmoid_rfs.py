_base_ = ['./rtmdet_ins_s_sigmoid.py']

# repeat factor sampling (Gupta et al. 2019), t = 1e-3
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatFactorDataset',
        oversample_thr=1e-3,
        dataset=_base_.train_dataloader.dataset,
    )
)
