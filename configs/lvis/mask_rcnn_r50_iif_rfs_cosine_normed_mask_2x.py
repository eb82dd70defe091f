_base_ = ['./mask_rcnn_r50_iif_rfs_2x.py']

# normalised predictors of classes and masks, with the temperatures of IIF's code
model = dict(
    roi_head=dict(
        bbox_head=dict(cls_predictor_cfg=dict(type='NormedLinear', temperature=8)),
        mask_head=dict(predictor_cfg=dict(type='NormedConv2d', temperature=20)),
    )
)
