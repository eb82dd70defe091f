_base_ = ['./words_softmax.py', '../_base_/methods/cmltnet.py']

# the words are those of the names of 40 letters with marks, and 16 of colour, texture and size
model = dict(
    head=dict(
        _base_.cmltnet_head,
        num_words=37,
        embed_dims=128,
        word_weight=0.2,
        word_vectors=dict(width=128),
    )
)
custom_hooks = [*_base_.custom_hooks, *_base_.cmltnet_hooks]
val_evaluator = _base_.cmltnet_evaluator
test_evaluator = val_evaluator
