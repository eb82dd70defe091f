_base_ = ['./mask2former_r18_softmax_demo.py']

# chosen on another seed: benchmarks/results/any_detector.md
model = dict(type='LongTail', detector='Mask2Former', adjustment=dict(type='PriorShift', tau=1.0))
