_base_ = ['./mask_rcnn_r50_softmax.py', '../_base_/methods/copy_paste.py']

train_dataloader = dict(
    dataset=dict(
        _base_.copy_paste,
        dataset=dict(_base_.train_dataloader.dataset, pipeline=_base_.train_pipeline[:-1]),
    )
)
