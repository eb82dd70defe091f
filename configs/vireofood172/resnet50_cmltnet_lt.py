_base_ = ['./resnet50_softmax_lt.py', '../_base_/methods/cmltnet.py']

model = dict(head=dict(_base_.cmltnet_head, num_words=353))
custom_hooks = [*_base_.custom_hooks, *_base_.cmltnet_hooks]
val_evaluator = _base_.cmltnet_evaluator
test_evaluator = val_evaluator
