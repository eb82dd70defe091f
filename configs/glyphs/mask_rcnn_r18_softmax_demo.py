_base_ = ['./mask_rcnn_r18_softmax_small.py']

# fine-tunes a detector of other glyphs: minutes on 2 CPU cores
# python tools/dataset/make_glyphs.py --size demo --out data/glyphs/demo
data_root = 'data/glyphs/demo/'
# made by mask_rcnn_r18_pretrain.py; holds all but the classifier
load_from = '{{ fileDirname }}/pretrained/mask_rcnn_r18_glyphs.pth'
model = dict(
    # as on LVIS: what is pretrained keeps its statistics, and its first stage as it is;
    # three stages and levels, for objects are 20 to 56 pixels in images of 128
    backbone=dict(
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        frozen_stages=1,
        norm_eval=True,
    ),
    neck=dict(in_channels=[32, 64, 128], num_outs=3),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16]),
        bbox_head=dict(fc_out_channels=128),
        # the bins of these objects are about a pixel of the features wide
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16], roi_layer=dict(sampling_ratio=1)),
    ),
    # at most 8 RoIs with objects: images have at most 5
    train_cfg=dict(rcnn=dict(sampler=dict(num=32))),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator

max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
# one kernel for all parameters
optim_wrapper = dict(optimizer=dict(fused=True))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
