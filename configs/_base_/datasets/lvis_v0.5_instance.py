_base_ = ['./lvis_v1_instance.py']

# annotations/lvis_v0.5_{train,val}.json
data_root = 'data/lvis/'
train_dataloader = dict(dataset=dict(ann_file='annotations/lvis_v0.5_train.json'))
val_dataloader = dict(dataset=dict(ann_file='annotations/lvis_v0.5_val.json'))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/lvis_v0.5_val.json')
test_evaluator = val_evaluator
