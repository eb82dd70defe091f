# class-balanced loss (Cui et al., arXiv 1901.05555)
class_balanced = dict(
    _delete_=True, type='ClassBalancedLoss', beta=0.9999, loss=dict(type='CrossEntropyLoss')
)
