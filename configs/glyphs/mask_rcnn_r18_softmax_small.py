_base_ = ['./mask_rcnn_r18_softmax_bench.py']

# as bench, in a tenth of its time: for comparisons on CPUs
# python tools/dataset/make_glyphs.py --size small --out data/glyphs/small
data_root = 'data/glyphs/small/'
classes = 30
image_size = (128, 128)
model = dict(
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(num_classes=classes),
        mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=2)),
        mask_head=dict(num_classes=classes, num_convs=1),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=250, max_per_img=150), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=250, max_per_img=150), rcnn=dict(max_per_img=100)),
)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = image_size
test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator
