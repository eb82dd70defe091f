_base_ = ['./lvis_v1_instance.py']

# any json in COCO or LVIS format: ann_file and data_prefix are set by the config that has the data
data_root = ''

train_pipeline = [
    _base_.train_pipeline[0],
    # an object without a mask is learned as a box; mask heads other than ours need 'ignore'
    dict(type='LoadCompactAnnotations', with_bbox=True, with_mask=True, maskless='box'),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file=''))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file='')
test_evaluator = val_evaluator
