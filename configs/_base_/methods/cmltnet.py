# CMLTNet: a classifier that learns from the words of its training images
# alignment=False, inference=False, fusion=False of the head turn parts off; described=0.5 of the
# training set hides the words of half its images
cmltnet_head = dict(
    type='CrossModalHead',
    cls_predictor_cfg=dict(type='CosineLinear', scale=16.0),
    adjustment=dict(type='PriorShift', tau=1.0, stage='train'),
)
cmltnet_hooks = [dict(type='WordsHook')]
cmltnet_evaluator = [dict(type='LongTailAccuracy'), dict(type='WordRetrieval')]
# nlp.stanford.edu/projects/glove, 300 numbers a word
glove = dict(source='file', path='data/glove/glove.6B.300d.txt', missing='random')
