_base_ = ['./mask_rcnn_r50_softmax.py']

# Gumbel activation, the loss of GOL (arXiv 2207.10936), as in the authors' gumbel_r50_4x4_1x
model = dict(
    roi_head=dict(bbox_head=dict(loss_cls=dict(_delete_=True, type='GumbelLoss', num_classes=1203)))
)
