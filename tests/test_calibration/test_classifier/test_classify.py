"""Classifiers: settings as a test of each would have them, and what is written."""

from __future__ import annotations

import csv
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from lt_det.calibration.choice import read_choice
from lt_det.calibration.classify import Accuracies, Sweep, calibrate_classifier, class_groups
from lt_det.calibration.settings import IDENTITY, Setting
from lt_det.errors import BadInputError, DataWarning
from lt_det.frequency import ClassFrequency

from .cases import HEADS, SETTINGS, swept


class Labels(Hook):
    """Predicted labels of a test."""

    def __init__(self) -> None:
        self.predicted: list[int] = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.predicted += [int(sample.pred_label) for sample in outputs]


def labels_and_metrics(
    cfg: Config, checkpoint: Path, held_out: Path
) -> tuple[list[int], dict[str, float]]:
    """Labels and metrics of the runner's own test."""
    cfg = deepcopy(cfg)
    cfg.load_from = str(checkpoint)
    cfg.test_dataloader.dataset.ann_file = str(held_out)
    cfg.custom_hooks = [dict(type='ClassFrequencyHook')]
    cfg.experiment_name += 't'
    runner = Runner.from_cfg(cfg)
    labels = Labels()
    runner.register_hook(labels)
    return labels.predicted, runner.test()


@pytest.mark.parametrize('kind', HEADS)
def test_settings_predict_what_a_test_with_them_predicts(
    config, checkpoint, held_out, tmp_path, kind
):
    head = HEADS[kind]
    path = checkpoint(statistics=kind != 'stock')
    sweep = swept(config(**head), path, held_out, SETTINGS, tmp_path)
    assert sweep.predicted.shape == (5, 96) and sweep.predicted.dtype == np.int32
    assert len(np.unique(sweep.predicted, axis=0)) == 5  # no two settings alike
    accuracies = Accuracies(sweep.labels, sweep.predicted, 8)
    groups = class_groups(sweep.frequency)
    own = [head['adjustment']] if 'adjustment' in head else []
    for number, setting in enumerate(SETTINGS):
        adjustment = [*own, *setting.rules] or None
        cfg = config(type='LongTailClsHead', adjustment=adjustment)
        predicted, metrics = labels_and_metrics(cfg, path, held_out)
        np.testing.assert_array_equal(sweep.predicted[number], predicted)
        values = accuracies(number, np.ones((1, 96), int))[0]
        for name, members in groups.items():
            assert np.mean(values[members]) == pytest.approx(metrics[f'accuracy/{name}'], abs=1e-12)


def test_the_map_of_a_setting_is_that_of_the_whole_model(config, checkpoint, held_out, tmp_path):
    sweep = swept(config(**HEADS['adjusted']), checkpoint(), held_out, SETTINGS, tmp_path)
    stock = config(type='LinearClsHead')
    state = torch.load(checkpoint())
    for number, found in enumerate(sweep.maps):
        scale, shift = torch.tensor(found.scale), torch.tensor(found.shift)
        folded = dict(state['state_dict'])
        folded['head.fc.weight'] = scale[:, None] * folded['head.fc.weight']
        folded['head.fc.bias'] = scale * folded['head.fc.bias'] + shift
        path = tmp_path / 'folded.pth'
        torch.save(dict(state_dict=folded), path)
        predicted, _ = labels_and_metrics(stock, path, held_out)
        np.testing.assert_array_equal(sweep.predicted[number], predicted)


@given(st.data())
def test_accuracies_are_those_of_images_repeated(data):
    size, classes, settings = (data.draw(st.integers(1, n)) for n in (12, 4, 3))
    draw = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    labels = np.array(data.draw(draw))
    predicted = np.array([data.draw(draw) for _ in range(settings)], np.int32)
    counts = st.lists(st.integers(0, 3), min_size=size, max_size=size)
    weights = np.array([data.draw(counts) for _ in range(2)], np.int32)
    accuracies = Accuracies(labels, predicted, classes)
    for number in range(settings):
        values = accuracies(number, weights)
        assert values.shape == (2, classes) and values.dtype == np.float64
        for row, weight in zip(values, weights):
            for label in range(classes):
                right = [
                    predicted[number, i] == label
                    for i in range(size)
                    for _ in range(weight[i])
                    if labels[i] == label
                ]
                expected = sum(right) / len(right) if right else np.nan
                np.testing.assert_equal(row[label], expected)


def test_the_choice_is_written(config, checkpoint, held_out, tmp_path, capsys):
    cfg, path, out = config(), checkpoint(), tmp_path / 'out'
    settings = [IDENTITY]
    settings += [Setting.of(dict(type='PriorShift', tau=t)) for t in (0.3, 0.6, 0.9, 1.2)]
    options = dict(metric='few', keep={'macro': 0.0}, resamples=50, progress=False)
    given = deepcopy(cfg)
    selection = calibrate_classifier(cfg, path, held_out, None, out, settings, **options)
    assert cfg.to_dict() == given.to_dict()
    assert selection.fold and selection.chosen > 0  # the bias is 1.2 ln n by construction
    choice = read_choice(out / 'choice.json')
    chosen = settings[selection.chosen]
    assert (choice.kind, choice.fold, choice.metric) == ('classifier', True, 'few')
    assert choice.setting == dict(name=chosen.name, rules=[dict(r) for r in chosen.rules])
    assert choice.heads[0].layers == ['head.fc'] and choice.heads[0].scale == [1.0] * 8
    frequency = ClassFrequency(choice.image_count, num_images=choice.num_images)
    expected = -chosen.strength * np.log(frequency.image_count / frequency.num_images)
    np.testing.assert_allclose(choice.heads[0].shift, expected, rtol=1e-6)
    assert len(choice.sha256['held_out']) == 64 and choice.sha256['train'] is None
    assert choice.per_class['group'] == frequency.groups('shot').tolist()
    assert sum(choice.per_class['images']) == selection.num_images['all']
    page = (out / 'calibration.html').read_text(encoding='utf-8')
    assert f'Take <b>{chosen.name}</b>' in page and choice.classes[0] in page
    with (out / 'sweep.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == [setting.name for setting in settings]
    _, metrics = labels_and_metrics(cfg, path, held_out)
    for name in ('macro', 'many', 'medium', 'few'):
        assert float(rows[0][name]) == pytest.approx(metrics[f'accuracy/{name}'], abs=1e-6)
    options['progress'] = True
    again = calibrate_classifier(cfg, path, held_out, None, out, settings, **options)
    assert 'test 3/3' in capsys.readouterr().out
    assert again.as_dict() == selection.as_dict()


def test_what_an_earlier_run_wrote_stays_until_the_next_has_all(
    config, checkpoint, held_out, tmp_path, monkeypatch
):
    out = tmp_path / 'out'
    arguments = (config(), checkpoint(), held_out, None, out)
    calibrate_classifier(*arguments, SETTINGS, resamples=10, progress=False)
    before = {name: (out / name).read_bytes() for name in ('choice.json', 'sweep.csv')}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('lt_det.calibration.sweep_file.csv.writer', stop)
    with pytest.raises(KeyboardInterrupt):
        calibrate_classifier(*arguments, SETTINGS[:2], resamples=10, progress=False)
    assert {name: (out / name).read_bytes() for name in before} == before
    assert not list(out.glob('*.part'))


def test_averaged_weights_are_those_that_rules_read(config, checkpoint, held_out, tmp_path):
    path = checkpoint()
    expected = swept(config(), path, held_out, SETTINGS, tmp_path)
    content = torch.load(path)
    trained = {key: value.clone() for key, value in content['state_dict'].items()}
    trained['head.fc.weight'] *= torch.rand(8, 1, generator=torch.Generator().manual_seed(0))
    # EMAHook saves the averages as the weights, and the weights where the averages would be
    content['ema_state_dict'] = {f'module.{key}': value for key, value in trained.items()}
    content['ema_state_dict']['steps'] = torch.tensor(1)
    torch.save(content, path)
    cfg = config()
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='EMAHook')]
    found = swept(cfg, path, held_out, SETTINGS, tmp_path)
    np.testing.assert_array_equal(found.predicted, expected.predicted)
    assert found.maps == expected.maps


def test_rules_that_read_weights_are_left_out_for_a_cosine_classifier(
    config, checkpoint, held_out, tmp_path
):
    cfg = config(cls_predictor_cfg=dict(type='CosineLinear', scale=8.0))
    with pytest.warns(DataWarning, match='2 of 5 settings are left out.*CosineLinear'):
        sweep = swept(cfg, checkpoint(), held_out, SETTINGS, tmp_path)
    assert sweep.settings == SETTINGS[:3] and len(sweep.predicted) == len(sweep.maps) == 3


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (dict(type='CAMCClsHead'), "'CAMCClsHead', which classifies twice"),
        (dict(type='MultiLabelLinearClsHead'), 'asks of each class alone'),
        (dict(type='StackedLinearClsHead', mid_channels=[8]), "has no linear classifier 'fc'"),
        (dict(type='TextClsHead'), "'TextClsHead', which has no linear classifier 'fc'"),
        (dict(num_classes=9), 'num_classes is 9, the data set of the held-out images has 8'),
    ],
)
def test_heads_that_cannot_be_folded_are_refused(
    config, checkpoint, held_out, tmp_path, head, message
):
    cfg = config(**head)
    if not str(cfg.model.head.type).startswith(('CAMC', 'Long', 'Text')):
        cfg.model.head.pop('loss')
    if head.get('type') == 'CAMCClsHead':
        cfg.model.neck = None
    path = checkpoint(statistics=False)
    if 'num_classes' in head or head['type'] == 'StackedLinearClsHead':  # of this model
        content = torch.load(path)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        torch.save({**content, 'state_dict': model.state_dict()}, path)
    with pytest.raises(BadInputError, match=message):
        swept(cfg, path, held_out, SETTINGS[:1], tmp_path)


def test_options_are_refused_before_anything_is_read(tmp_path):
    arguments = (Config(), 'no.pth', 'no.txt', None, tmp_path)
    with pytest.raises(BadInputError, match='--metric is AP, expected one of macro, many'):
        calibrate_classifier(*arguments, SETTINGS, metric='AP')
    with pytest.raises(BadInputError, match='--keep is APf, expected one of macro, many'):
        calibrate_classifier(*arguments, SETTINGS, keep={'APf': 0.1})
    with pytest.raises(BadInputError, match='--keep few=nan, expected a finite number'):
        calibrate_classifier(*arguments, SETTINGS, keep={'few': float('nan')})
    with pytest.raises(BadInputError, match='--resamples is 1, expected at least 2'):
        calibrate_classifier(*arguments, SETTINGS, resamples=1)
    norcal = Setting.of(dict(type='NorCal', gamma=0.5))
    with pytest.raises(BadInputError, match='NorCal.* needs a background'):
        calibrate_classifier(*arguments, [IDENTITY, norcal])


def test_one_image_is_refused_before_the_network_runs(config, held_out, tmp_path, monkeypatch):
    monkeypatch.setattr(Sweep, 'run', None)
    (tmp_path / 'one.txt').write_text(held_out.read_text().splitlines()[0] + '\n')
    (tmp_path / 'any.pth').touch()
    arguments = (config(), tmp_path / 'any.pth', tmp_path / 'one.txt', None, tmp_path)
    with pytest.raises(BadInputError, match='--held-out has 1 images, expected at least 2'):
        calibrate_classifier(*arguments, SETTINGS)
