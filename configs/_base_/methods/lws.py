_base_ = ['./crt.py']

# learned scales of the classes (same paper), trained as cRT is; the classifier is the first stage's
lws_head = dict(adjustment=dict(type='LearnedScale'), train_predictor=False)
