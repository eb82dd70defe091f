# objects of rare classes from other images, around the data set of the config, whose own pipeline
# leaves packing to this one:
# train_dataloader = dict(
#     dataset=dict(
#         _base_.copy_paste,
#         dataset=dict(_base_.train_dataloader.dataset, pipeline=_base_.train_pipeline[:-1]),
#     )
# )
copy_paste = dict(
    _delete_=True,
    type='MultiImageMixDataset',
    pipeline=[
        dict(type='RareCopyPaste', max_images=100, prob=0.5, max_objects=3),
        dict(type='PackDetInputs'),
    ],
)
