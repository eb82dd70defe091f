_base_ = ['../_base_/datasets/places_lt.py', '../_base_/methods/ballad.py']

model = dict(head=dict(num_classes=365), class_names='places365')
data_preprocessor = _base_.clip_preprocessor
train_pipeline = _base_.clip_train_pipeline
test_pipeline = _base_.clip_test_pipeline
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=256, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=256, dataset=dict(pipeline=test_pipeline))
