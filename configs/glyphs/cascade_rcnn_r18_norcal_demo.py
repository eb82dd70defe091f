_base_ = ['./cascade_rcnn_r18_softmax_demo.py']

# tests a checkpoint of cascade_rcnn_r18_softmax_demo.py, or trains the same;
# chosen on another seed: benchmarks/results/any_detector.md
model = dict(type='LongTail', detector='CascadeRCNN', adjustment=dict(type='NorCal', gamma=0.5))
