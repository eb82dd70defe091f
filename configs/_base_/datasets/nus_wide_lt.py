_base_ = ['./vireofood172_lt.py']

# python tools/dataset/make_cross_modal.py nus_wide --imbalance 100
# beside Flickr/, ImageList/, ConceptsList/, Groundtruth/ and NUS_WID_Tags/
data_root = 'data/nus_wide/'
lists = 'lt100/'
# of the 81 concepts those with images of their own alone; the tool prints their number
num_classes = 81
data_preprocessor = dict(num_classes=num_classes)

common = dict(
    data_root=data_root,
    classes=data_root + lists + 'classes.txt',
    vocabulary=data_root + lists + 'words.txt',
)
train_dataloader = dict(
    dataset=dict(ann_file=lists + 'train.txt', word_file=lists + 'train_words.txt', **common)
)
# there is no published validation list
val_dataloader = dict(
    dataset=dict(ann_file=lists + 'test.txt', word_file=lists + 'test_words.txt', **common)
)
test_dataloader = val_dataloader
