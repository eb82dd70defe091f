_base_ = ['./mask_rcnn_r50_softmax.py']

# equalization loss v2 (arXiv 2012.08548)
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(
                _delete_=True,
                type='LongTailEQLV2Loss',
                mu=0.8,
                alpha=4.0,
                gamma=12,
                num_classes=1203,
                loss_weight=1.0,
            )
        )
    )
)
