"""Class statistics that a checkpoint brings: of other data, replaced, of any type, or in part."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lt_det.adjustments import build_adjustment
from lt_det.engine import ClassFrequencyHook
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency
from lt_det.frequency_module import frequency_modules
from lt_det.models.layers.cam_calibration import CAMCalibration
from lt_det.models.layers.fasa import FASA
from lt_det.models.losses import FederatedLoss, LongTailEQLV2Loss, LongTailSeesawLoss


class Parts(torch.nn.Module):
    """A module of every kind that keeps something of the training data."""

    def __init__(self) -> None:
        super().__init__()
        self.federated = FederatedLoss(3)
        self.fasa = FASA(3, 2)
        self.fracal = build_adjustment(dict(type='FRACAL'), num_classes=3)
        self.seesaw = LongTailSeesawLoss(num_classes=3)
        self.eqlv2 = LongTailEQLV2Loss(num_classes=3)
        self.calibration = CAMCalibration(3, 2, embed_channels=2)
        self.layer = torch.nn.Linear(2, 2)


def buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: buffer.clone() for key, buffer in model.named_buffers()}


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_nothing_of_the_old_data_is_left_after_replacing(prefix):
    old = Parts()
    for buffer in old.buffers():
        buffer.fill_(7 if buffer.dtype != torch.bool else 1)
    torch.nn.init.constant_(old.layer.weight, 7)
    state = {prefix + key: value for key, value in old.state_dict().items()}
    new, frequency = Parts(), ClassFrequency([5, 3, 1], num_images=6)
    for module in frequency_modules(new):
        module.set_class_frequency(frequency)
    new.fracal.set_box_dimension(np.array([1.1, 1.2, 1.3]))
    expected = buffers(new)
    said = []
    runner = SimpleNamespace(cfg={}, model=new, logger=SimpleNamespace(warning=said.append))
    hook = ClassFrequencyHook(replace=True)
    hook.training_frequency = frequency
    checkpoint = dict(state_dict=state, ema_state_dict=dict(state))
    hook.after_load_checkpoint(runner, checkpoint)
    for saved in (checkpoint['state_dict'], checkpoint['ema_state_dict']):
        assert {key.removeprefix(prefix).split('.')[0] for key in saved} == {'layer', 'calibration'}
        loaded = {key.removeprefix(prefix): value for key, value in saved.items()}
        new.load_state_dict(loaded, strict=False)
        for key, buffer in buffers(new).items():
            assert torch.equal(buffer, expected[key]), key
        assert new.layer.weight[0, 0] == 7
    (text,) = said
    assert 'num_images 6 against 7' in text and 'in all' in text


def test_other_class_names_are_said(tmp_path):
    frequency = ClassFrequency([5, 3], class_names=['cat', 'dog'])
    for names, words in (
        (['cat', 'dog'], None),
        (['dog', 'cat'], "class 0 is 'cat' against 'dog' in the checkpoint"),
        (['cat', 'dog', 'cow'], '2 classes against 3'),
    ):
        said = []
        runner = SimpleNamespace(
            cfg={},
            model=LongTailSeesawLoss(num_classes=2),
            logger=SimpleNamespace(warning=said.append),
        )
        for replace, kept in ((False, True), (True, words is None)):
            hook = ClassFrequencyHook(replace=replace)
            hook.training_frequency = frequency
            checkpoint = dict(
                state_dict=dict(cum_samples=torch.ones(3)),
                meta=dict(dataset_meta=dict(classes=names)),
            )
            hook.after_load_checkpoint(runner, checkpoint)
            assert bool(checkpoint['state_dict']) == kept
        assert len(said) == (0 if words is None else 2)
        assert all(words in text for text in said)


def test_statistics_of_another_number_of_classes_are_refused_at_test():
    saved = build_adjustment(dict(type='IIF'), ClassFrequency([5, 3, 1])).state_dict()
    runner = SimpleNamespace(cfg={}, model=build_adjustment(dict(type='IIF'), num_classes=2))
    with pytest.raises(BadInputError, match=r'statistics of 3 classes.*num_classes=2'):
        ClassFrequencyHook().after_load_checkpoint(runner, dict(state_dict=saved))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64, torch.int32])
def test_statistics_of_a_checkpoint_have_any_type(dtype):
    frequency = ClassFrequency([5, 3, 1], num_images=6)
    model = torch.nn.Sequential(build_adjustment(dict(type='IIF'), frequency))
    state = {key: value.to(dtype) for key, value in model.state_dict().items()}
    hook = ClassFrequencyHook()
    hook.training_frequency = frequency
    hook.after_load_checkpoint(SimpleNamespace(cfg={}, model=model), dict(state_dict=state))
    state['0.image_count'][1] = 4
    with pytest.raises(BadInputError, match=r'another data set .* 3 against 4'):
        hook.after_load_checkpoint(SimpleNamespace(cfg={}, model=model), dict(state_dict=state))


@pytest.mark.parametrize('value', [None, [5, 3, 1]])
def test_a_part_of_the_statistics_is_refused_in_training_too(value):
    frequency = ClassFrequency([5, 3, 1], num_images=6)
    model = torch.nn.Sequential(build_adjustment(dict(type='IIF'), frequency))
    hook, runner = ClassFrequencyHook(), SimpleNamespace(cfg={}, model=model)
    for hook.training_frequency in (frequency, None):
        state = {**model.state_dict(), '0.image_count': value}
        hook.after_load_checkpoint(runner, dict(state_dict=state))  # loading it says so
        with pytest.raises(BadInputError, match='only instance_count and num_images; expected'):
            model.load_state_dict(state)
