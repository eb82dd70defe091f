# every fifth class is left out of training and named only at the end
# python tools/train.py configs/glyphs/ballad_r14_open.py
_base_ = ['./ballad_r14.py']

run = ['phase_a', 'phase_b', 'open_vocabulary']
left_out = list(range(0, 100, 5))
names = 'data/glyphs/crops/classes.txt'
model = dict(
    head=dict(num_classes=80), class_names=dict(_delete_=True, names=names, left_out=left_out)
)
subset = dict(type='ClassSubsetDataset', left_out=left_out)
train_dataloader = dict(dataset=subset)
val_dataloader = dict(dataset=subset)
test_dataloader = dict(dataset=subset)
phases = dict(
    open_vocabulary=dict(
        after='phase_b',
        train=False,
        model=dict(phase='B', eval_class_names=names),
        val_dataloader=dict(dataset=dict(left_out=[])),
        val_evaluator=dict(_delete_=True, type='OpenVocabularyAccuracy', unseen=left_out),
    )
)
