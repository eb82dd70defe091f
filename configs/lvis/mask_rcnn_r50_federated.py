_base_ = ['./mask_rcnn_r50_softmax.py']

# federated loss (arXiv 2103.07461)
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(
                _delete_=True, type='FederatedLoss', num_classes=1203, num_sampled=50, power=0.5
            )
        )
    )
)
# the lists of verified classes of an image reach the loss
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            *_base_.train_pipeline[:-1],
            dict(
                type='PackDetInputs',
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                    'flip',
                    'flip_direction',
                    'neg_category_ids',
                    'not_exhaustive_category_ids',
                ),
            ),
        ]
    )
)
custom_hooks = [*_base_.custom_hooks, dict(type='FederatedLabelsHook')]
