_base_ = ['./cascade_mask_rcnn_r50_fpn_lvis.py']

# hybrid task cascade (Chen et al. 2019), without the semantic branch: LVIS has no stuff labels
model = dict(
    type='HybridTaskCascade',
    roi_head=dict(
        type='HybridTaskCascadeRoIHead',
        interleaved=True,
        mask_info_flow=True,
        mask_head=[
            dict(
                _base_.model.roi_head.mask_head,
                type='ClassIndexedHTCMaskHead',
                with_conv_res=with_conv_res,
            )
            for with_conv_res in (False, True, True)
        ],
    ),
)
