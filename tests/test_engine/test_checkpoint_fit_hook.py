from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS as CLASSIFIERS
from mmpretrain.utils import register_all_modules
from torch import nn

from lt_det.engine.checkpoint_fit_hook import CheckpointFitHook, check_fits, check_names
from lt_det.errors import BadInputError

from ..test_models.test_any_detector.zoo import adjusted, built

RULE = dict(type='PriorShift', tau=0.7, stage='test')


@pytest.fixture(scope='module')
def detector() -> nn.Module:
    return built('Faster R-CNN')


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('wrapped', [True, False])
def test_own_weights_fit(detector, prefix, wrapped):
    state = {prefix + name: value for name, value in detector.state_dict().items()}
    check_fits(detector, dict(state_dict=state) if wrapped else state, 'a.pth')


def test_weights_of_the_stock_detector_fit_one_with_a_rule(detector):
    check_fits(adjusted('Faster R-CNN', RULE), dict(state_dict=detector.state_dict()), 'a.pth')


def test_with_test_time_augmentation(detector):
    class Augmented(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    check_fits(Augmented(detector), detector.state_dict(), 'a.pth')
    with pytest.raises(BadInputError, match='it has no roi_head'):
        check_fits(Augmented(detector), {'fc.weight': torch.zeros(2)}, 'a.pth')


def test_a_classifier_of_other_classes_is_refused(detector):
    state = dict(detector.state_dict())
    name = 'roi_head.bbox_head.fc_cls.weight'
    channels, width = state[name].shape
    state[name] = torch.zeros(81, width)
    total = sum(1 for _ in detector.parameters())
    message = (
        f'checkpoint a.pth is of another model: it has {name} of shape (81, {width}), expected '
        f'shape ({channels}, {width}) (1 of the {total} weights that the config asks for are not '
        'in it)'
    )
    with pytest.raises(BadInputError) as error:
        check_fits(detector, state, 'a.pth')
    assert str(error.value) == message


@pytest.mark.parametrize('other', ['RetinaNet', 'FCOS'])
def test_another_detector_with_the_same_backbone_is_refused(detector, other):
    with pytest.raises(BadInputError, match=r'it has no roi_head\.bbox_head\.fc_cls\.weight'):
        check_fits(detector, built(other).state_dict(), 'a.pth')


@pytest.mark.parametrize('kind', ['LinearClsHead', 'VisionTransformerClsHead'])
def test_an_image_classifier_of_other_classes_is_refused(kind):
    register_all_modules(init_default_scope=True)
    ours, theirs = (
        CLASSIFIERS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type=kind, num_classes=number, in_channels=512),
            )
        )
        for number in (8, 10)
    )
    check_fits(ours, ours.state_dict(), 'a.pth')
    with pytest.raises(BadInputError, match=r'of shape \(10, 512\), expected shape \(8, 512\)'):
        check_fits(ours, theirs.state_dict(), 'a.pth')


def test_a_part_that_is_missing_passes_but_most_of_a_model_do_not():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    state = model.state_dict()
    for name in ('0.weight', '0.bias', '1.bias'):
        del state[name]
        check_fits(model, state, 'a.pth')
    del state['1.weight']
    with pytest.raises(BadInputError, match=r'no 0\.weight, expected shape \(2, 2\) \(4 of the 6'):
        check_fits(model, state, 'a.pth')


def test_classes_in_another_order_are_refused():
    def checkpoint(names):
        return dict(meta=dict(dataset_meta=dict(classes=names)))

    check_names(['cat', 'dog'], checkpoint(('cat', 'dog')), 'a.pth')
    check_names(['cat', 'dog'], checkpoint(('Cat', 'Dog')), 'a.pth')  # which is no order
    check_names(['cat', 'dog'], dict(meta=[]), 'a.pth')
    check_names(None, checkpoint(('cat', 'dog')), 'a.pth')
    with pytest.raises(BadInputError, match="a.pth .*label 0 is 'dog' there and 'cat' in the test"):
        check_names(['cat', 'dog', 'cow'], checkpoint(('dog', 'cat', 'cow')), 'a.pth')


@pytest.mark.parametrize(
    ('kind', 'refused'), [('LongTailLVISDataset', True), ('CocoDataset', False)]
)
def test_the_order_is_that_of_the_data_set_in_use(detector, kind, refused):
    """Stock data sets number labels by their json."""
    train = dict(dataset=dict(type=kind, ann_file='train.json'))
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))
    runner = SimpleNamespace(
        cfg=Config(dict(train_dataloader=train)),
        model=detector,
        _train_loop=None,
        _test_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)),
        _load_from='a.pth',
    )
    content = dict(state_dict=detector.state_dict())
    content['meta'] = dict(dataset_meta=dict(classes=('b', 'a')))
    with pytest.raises(BadInputError, match='another order') if refused else nullcontext():
        CheckpointFitHook().after_load_checkpoint(runner, content)


def test_a_training_begins_with_any_weights(detector):
    training = SimpleNamespace(_train_loop=SimpleNamespace(dataloader=[]), model=detector)
    CheckpointFitHook().after_load_checkpoint(training, {})
    testing = SimpleNamespace(_train_loop=dict(), model=detector, _load_from='a.pth')
    with pytest.raises(BadInputError, match=r'a\.pth is of another model'):
        CheckpointFitHook().after_load_checkpoint(testing, {})
