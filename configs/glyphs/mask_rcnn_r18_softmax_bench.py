_base_ = ['./mask_rcnn_r18_softmax_demo.py']

# python tools/dataset/make_glyphs.py --size bench --out data/glyphs/bench
data_root = 'data/glyphs/bench/'
classes = 60
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=classes),
        mask_head=dict(num_classes=classes),
    ),
    # as in LVIS: 5 for each of the 60 classes
    test_cfg=dict(rcnn=dict(max_per_img=300)),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator
