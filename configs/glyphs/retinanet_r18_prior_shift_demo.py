_base_ = ['./retinanet_r18_sigmoid_demo.py']

# chosen on another seed: benchmarks/results/any_detector.md
model = dict(type='LongTail', detector='RetinaNet', adjustment=dict(type='PriorShift', tau=0.5))
