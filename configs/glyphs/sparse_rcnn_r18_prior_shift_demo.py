_base_ = ['./sparse_rcnn_r18_sigmoid_demo.py']

# half the prior of each class is added to its logit in training
model = dict(type='LongTail', detector='SparseRCNN', adjustment=dict(type='PriorShift', tau=0.5))
