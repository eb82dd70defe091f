# normalised predictors of classes and masks, with the temperatures of IIF's code
normed_classes = dict(type='NormedLinear', temperature=8)
normed_masks = dict(type='NormedConv2d', temperature=20)
normed_model = dict(
    roi_head=dict(
        bbox_head=dict(cls_predictor_cfg=normed_classes),
        mask_head=dict(predictor_cfg=normed_masks),
    )
)
