_base_ = ['./mask_rcnn_r50_iif_rfs_cosine_normed_mask_2x.py']

# the strongest recipe of IIF's code: instance counts, and FASA (arXiv 2102.12867)
model = dict(
    roi_head=dict(
        bbox_head=dict(
            type='FASABBoxHead',
            adjustment=dict(link='base10', count='instance'),
            fasa=dict(decay=0.1, power=1.0, up=1.1, down=0.9),
            fasa_weight=0.1,
        )
    )
)
# tells FASA the epoch
custom_hooks = [*_base_.custom_hooks, dict(type='ModuleEpochHook')]
