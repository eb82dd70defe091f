_base_ = ['./ballad_rn50.py']

model = dict(clip=dict(name='RN50x16-quickgelu'))
size = 384  # the native size of this tower
train_pipeline = _base_.train_pipeline
train_pipeline[1].scale = size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = size
test_pipeline[2].crop_size = size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
