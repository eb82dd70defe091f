_base_ = ['./dino_r18_sigmoid_demo.py']

# chosen on another seed: benchmarks/results/any_detector.md
model = dict(type='LongTail', detector='DINO', adjustment=dict(type='PriorShift', tau=0.5))
