# LDAM with deferred re-weighting (Cao et al., arXiv 1906.07413); a config says with 'begin' from
# which epoch on the classes are weighted: after 80 % of the schedule
ldam_predictor = dict(type='CosineLinear', scale=30.0)
ldam_drw = dict(
    _delete_=True,
    type='ClassBalancedLoss',
    beta=0.9999,
    loss=dict(type='LDAMLoss', max_margin=0.5, scale=30.0),
)
