# Seesaw loss (arXiv 2008.10032), with the normalised classifier of its paper
seesaw_model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormedLinear', temperature=20),
            loss_cls=dict(
                _delete_=True,
                type='LongTailSeesawLoss',
                p=0.8,
                q=2.0,
                num_classes=1203,
                loss_weight=1.0,
            ),
        )
    )
)
