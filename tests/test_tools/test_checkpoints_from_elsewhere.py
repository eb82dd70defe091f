"""Weights of stock MMDetection, and of IIF's code on MMDetection 2.x, in this package's heads."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from lt_det.compat.convert import convert_checkpoint
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency

from .conftest import ROOT, run

CLASSES = 8
FREQUENCY = ClassFrequency([60, 40, 20, 9, 5, 3, 2, 1], num_images=100)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)


def build(stock: bool = False, head: dict | None = None) -> nn.Module:
    cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_softmax_demo.py').model
    cfg.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)
    box = dict(cfg.roi_head.bbox_head, num_classes=CLASSES, reg_class_agnostic=False)
    mask = dict(cfg.roi_head.mask_head, num_classes=CLASSES, class_agnostic=False)
    if stock:
        box['type'] = 'Shared2FCBBoxHead'
        del box['num_shared_fcs']
        mask['type'] = 'FCNMaskHead'
    cfg.roi_head.bbox_head = dict(box, **(head or {}))
    cfg.roi_head.mask_head = mask
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.eval()


def predictions(model: nn.Module):
    torch.manual_seed(1)
    packed = demo_mm_inputs(1, [[3, 96, 96]], num_classes=CLASSES)
    with torch.no_grad():
        data = model.data_preprocessor(packed, False)
        (result,) = model.predict(data['inputs'], data['data_samples'])
    return result.pred_instances


def test_stock_mask_rcnn_loads_unchanged():
    stock, ours = build(stock=True), build()
    ours.load_state_dict(stock.state_dict(), strict=True)
    expected, found = predictions(stock), predictions(ours)
    assert len(expected)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.bboxes, expected.bboxes)
    assert torch.equal(found.labels, expected.labels)
    # logits agree to rounding: a pixel at the threshold may be on its other side
    assert found.masks.shape == expected.masks.shape
    assert (found.masks.cpu() != expected.masks).float().mean() < 1e-3


def test_stock_mask_rcnn_gets_a_rule_at_test():
    stock, ours = build(stock=True), build(head=dict(adjustment=dict(type='NorCal', gamma=1.0)))
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not missing, 'the rule counts from the training set'
    assert not unexpected
    ours.roi_head.bbox_head.set_class_frequency(FREQUENCY)
    assert not torch.equal(predictions(ours).scores, predictions(stock).scores)


OLD_NAMES = dict(
    mean='feature_mean', variance='feature_std', seen='feature_used', probability='prob_list'
)


def old_checkpoint(model: nn.Module, variant: str = 'base10_obj') -> dict:
    """What IIF's code on MMDetection 2.x would save of the same weights."""
    state = {}
    for key, value in model.state_dict().items():
        head, _, name = key.partition('.fasa.')
        old = dict(
            mean='feature_mean',
            variance='feature_std',
            seen='feature_used',
            probability='prob_list',
        )
        if name in old:
            state[f'module.{head}.{old[name]}'] = value.float()
        elif not name and '.adjustment.' not in key:
            state[f'module.{key}'] = value
    return dict(
        state_dict=state,
        optimizer=dict(state={}),
        meta=dict(
            mmdet_version='2.21.0',
            CLASSES=list('abcdefgh'),
            config=f"loss_cls=dict(type='FasaIIFLoss', variant='{variant}')",
        ),
    )


def fasa(link: str = 'base10', count: str = 'instance') -> nn.Module:
    adjustment = dict(type='IIF', link=link, count=count)
    model = build(head=dict(type='FASABBoxHead', adjustment=adjustment))
    head = model.roi_head.bbox_head
    head.set_class_frequency(FREQUENCY)
    with torch.no_grad():
        nn.init.normal_(head.fc_cls.weight)
        head.fasa.mean.normal_()
        head.fasa.variance.uniform_()
        head.fasa.seen[::2] = True
    return model


@pytest.mark.parametrize(
    ('variant', 'rule'),
    [('base10_obj', ('base10', 'instance')), ('raw', ('raw', 'image')), ('prob', ('rel', 'image'))],
)
def test_iif_checkpoint_of_mmdetection_2(variant, rule):
    source = fasa(*rule)
    converted = convert_checkpoint(old_checkpoint(source, variant), FREQUENCY)
    assert converted['meta']['dataset_meta']['classes'] == tuple('abcdefgh')
    target = build(
        head=dict(type='FASABBoxHead', adjustment=dict(type='IIF', link=rule[0], count=rule[1]))
    )
    missing, unexpected = target.load_state_dict(converted['state_dict'], strict=False)
    assert not unexpected
    # what that code does not save: FASA's own counts and losses
    assert all('.fasa.' in key for key in missing)
    for key, value in source.state_dict().items():
        if key not in missing:
            assert torch.equal(target.state_dict()[key], value), key
    found, expected = predictions(target), predictions(source)
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.masks, expected.masks)


@pytest.mark.parametrize('key', ['bbox_head.fc_cls.weight', 'module.bbox_head.2.fc_cls.weight'])
@pytest.mark.parametrize('meta', [None, {}, dict(mmdet_version='1.2.0', CLASSES=list('abcdefgh'))])
@pytest.mark.parametrize('frequency', [None, FREQUENCY])
def test_mmdetection_1_is_refused(key, meta, frequency):
    old = dict(state_dict={key: torch.zeros(CLASSES + 1, 4)}, meta=meta)
    with pytest.raises(BadInputError, match=r'of MMDetection 1\.x .*background is class 0'):
        convert_checkpoint(old, frequency, 'raw')


def test_class_names_are_those_of_the_statistics():
    def convert(names, classes=None, rows=CLASSES + 1, config='') -> tuple[str, ...]:
        state = {'roi_head.bbox_head.fc_cls.weight': torch.zeros(rows, 4)}
        frequency = classes and ClassFrequency(FREQUENCY.image_count, class_names=classes)
        old = dict(state_dict=state, meta=dict(CLASSES=names, config=config))
        return convert_checkpoint(old, frequency, 'raw')['meta']['dataset_meta']['classes']

    assert convert('dog', rows=2) == ('dog',)
    assert convert(list('abcdefgh'), 'abcdefgh') == tuple('abcdefgh')
    assert convert(list('abcdefgh'), rows=CLASSES + 2, config="type='SeesawLoss'")
    spaces = ['a_b', *'bcdefgh']
    assert convert(spaces, ['A b', *'bcdefgh']) == tuple(spaces)
    with pytest.raises(BadInputError, match="class 0 is 'h' in .* and 'a' .* in another order"):
        convert(list('hgfedcba'), 'abcdefgh')
    with pytest.raises(BadInputError, match="class 7 is 'x' in the checkpoint and 'h' in the"):
        convert(list('abcdefgx'), 'abcdefgh')
    for names in (list('abcde'), 'dog'):
        with pytest.raises(BadInputError, match=r'names \d class.* predictor has 9 rows, expected'):
            convert(names)


def test_cascade_heads_each_get_the_rule():
    weight = torch.ones(CLASSES + 1, 4)
    state = {f'roi_head.bbox_head.{i}.fc_cls.weight': weight for i in range(3)}
    converted = convert_checkpoint(dict(state_dict=state), FREQUENCY, 'raw')['state_dict']
    for i in range(3):
        scale = converted[f'roi_head.bbox_head.{i}.adjustment.scale']
        torch.testing.assert_close(scale[7], torch.tensor(100.0).log())


def test_tool(tmp_path, tiny_glyphs):
    old, new = tmp_path / 'old.pth', tmp_path / 'new.pth'
    ann = tiny_glyphs / 'annotations' / 'glyphs_train.json'
    checkpoint = old_checkpoint(fasa())
    checkpoint['meta']['CLASSES'] = ClassFrequency.from_annotation_file(ann).class_names
    torch.save(checkpoint, old)
    result = run('convert_checkpoint.py', old, new, '--ann', ann)
    assert result.returncode == 0, result.stderr[-3000:]
    state = torch.load(new, weights_only=True)['state_dict']
    count = state['roi_head.bbox_head.adjustment.image_count']
    assert count.tolist() == ClassFrequency.from_annotation_file(ann).image_count.tolist()
    result = run('convert_checkpoint.py', old, new)
    assert (result.returncode, result.stderr) == (2, f'error: {new} exists already\n')


def test_bad_input():
    good = old_checkpoint(fasa())
    for bad in ([], dict(model={}), dict(state_dict=dict(a=3))):
        with pytest.raises(BadInputError, match='not a checkpoint of MMCV'):
            convert_checkpoint(bad)
    with pytest.raises(BadInputError, match=r'no roi_head\.bbox_head\.fc_cls\.weight'):
        convert_checkpoint(dict(state_dict=dict(weight=torch.zeros(1))))
    with pytest.raises(BadInputError, match='has 8 classes, the annotation file has 3'):
        convert_checkpoint(good, ClassFrequency([3, 2, 1]))
    with pytest.raises(BadInputError, match="link is 'cube', expected one of"):
        convert_checkpoint(good, FREQUENCY, 'cube')
    silent = deepcopy(good)
    silent['meta']['config'] = ''
    with pytest.raises(BadInputError, match='names no IIF rules, expected one; .* --variant'):
        convert_checkpoint(silent, FREQUENCY)
