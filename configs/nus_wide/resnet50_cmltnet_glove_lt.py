_base_ = ['./resnet50_cmltnet_lt.py']

model = dict(head=dict(word_vectors=_base_.glove))
