_base_ = ['./glyph_crops.py']

# python tools/dataset/make_glyphs.py --size crops_words --out data/glyphs/crops_words
data_root = 'data/glyphs/crops_words/'
num_classes = 40
data_preprocessor = dict(num_classes=num_classes)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=40, padding=3, padding_mode='reflect'),
    dict(type='PackInputs', algorithm_keys=('words',)),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    # words only for the metric of retrieval: no prediction reads them
    dict(type='PackInputs', algorithm_keys=('words',)),
]
common = dict(
    type='CrossModalDataset',
    data_root=data_root,
    classes=data_root + 'classes.txt',
    vocabulary=data_root + 'words.txt',
)
train_dataloader = dict(
    dataset=dict(word_file='train_words.txt', pipeline=train_pipeline, **common)
)
val_dataloader = dict(dataset=dict(word_file='val_words.txt', pipeline=test_pipeline, **common))
test_dataloader = val_dataloader
