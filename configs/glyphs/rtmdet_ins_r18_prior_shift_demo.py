_base_ = ['./rtmdet_ins_r18_sigmoid_demo.py']

# chosen on another seed: benchmarks/results/any_detector.md
model = dict(type='LongTail', detector='RTMDet', adjustment=dict(type='PriorShift', tau=0.5))
