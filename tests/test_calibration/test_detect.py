"""A detector's calibration from config to choice, against tests of the detector with each rule."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from lt_det.calibration import detect
from lt_det.calibration.choice import read_choice
from lt_det.calibration.detect import Options, calibrate_detector
from lt_det.calibration.detector_data import DetectorData
from lt_det.calibration.select import select
from lt_det.calibration.sweep import Sweep
from lt_det.cli.main import main
from lt_det.errors import BadInputError, DataWarning, MissingFileError
from lt_det.formats.files import sha256
from lt_det.frequency import ClassFrequency

BASE = Path(__file__).resolve().parents[2] / 'configs/glyphs/mask_rcnn_r18_softmax_small.py'
RULES = [
    dict(type='NorCal', gamma=0.5, stage='test'),
    dict(type='PriorShift', tau=1.0, stage='test'),
    [dict(type='TauNorm', tau=0.5, stage='test'), dict(type='NorCal', gamma=1.0, stage='test')],
    dict(type='FRACAL', lam=1.0, stage='test'),
    dict(type='Temperature', temperature=2.0, stage='test'),
]
CONFIG = """
_base_ = ['{base}']
data_root = '{data}/'
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(base_channels=8, stem_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(
            in_channels=16, fc_out_channels=32, num_classes=8,
            adjustment=dict(type='IIF', link='smooth'),
        ),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=8),
    ),
    test_cfg=dict(rpn=dict(max_per_img=60), rcnn=dict(score_thr=0.02, max_per_img=30)),
)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root), num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/glyphs_val.json')
test_evaluator = val_evaluator
"""


@pytest.fixture(autouse=True, scope='module')
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def config(tiny_glyphs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    path.write_text(CONFIG.format(base=BASE, data=tiny_glyphs))
    return path


@pytest.fixture(scope='module')
def checkpoint(config: Path, tiny_glyphs: Path) -> Path:
    """Random weights whose scores are apart, with the statistics of the training set."""
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    detector = MODELS.build(Config.fromfile(config).model)
    MMLogger.get_current_instance().setLevel('ERROR')
    detector.init_weights()
    torch.nn.init.normal_(detector.roi_head.bbox_head.fc_cls.weight, std=0.5)
    torch.nn.init.constant_(detector.roi_head.mask_head.conv_logits.bias, 5.0)  # whole boxes
    train = tiny_glyphs / 'annotations/glyphs_train.json'
    detector.roi_head.bbox_head.set_class_frequency(ClassFrequency.from_annotation_file(train))
    path = config.with_name('random.pth')
    torch.save(dict(state_dict=detector.state_dict(), meta=dict()), path)
    return path


@pytest.fixture
def held_out(tiny_glyphs: Path) -> Path:
    return tiny_glyphs / 'annotations/glyphs_val.json'


@pytest.fixture(scope='module')
def rules(config: Path) -> str:
    path = config.with_name('rules.json')
    path.write_text(json.dumps(dict(rules=RULES)))
    return str(path)


def config_of(path: Path) -> Config:
    register_all_modules(init_default_scope=True)
    return Config.fromfile(path)


def calibrated(config, checkpoint, held_out, out, **options):
    cfg = config_of(config)
    data = DetectorData(cfg, held_out)
    options = Options(resamples=10, **options)
    return calibrate_detector(cfg, checkpoint, data, out, options, progress=False)


def metrics_of_test(config, checkpoint, rule, out) -> dict[str, float]:
    """Metrics of a test with the rules behind those of the config."""
    cfg = config_of(config)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'ReportHook']
    head = cfg.model.roi_head.bbox_head
    head.adjustment = [head.adjustment, *(rule if isinstance(rule, list) else [rule])]
    cfg.load_from, cfg.work_dir = str(checkpoint), str(out)
    return Runner.from_cfg(cfg).test()


@pytest.fixture(scope='module')
def tested(config, checkpoint, tmp_path_factory) -> list[dict[str, float]]:
    """Metrics of a test of the config, and of one with each rule."""
    out = tmp_path_factory.mktemp('tests')
    return [metrics_of_test(config, checkpoint, rule, out) for rule in ([], *RULES)]


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_every_setting_is_a_test_with_its_rule(
    iou_type, config, checkpoint, held_out, rules, tested, tmp_path, monkeypatch
):
    """AP to the last digit, of the masks of a choice by boxes too."""

    def chosen(*args, **kwargs):
        return replace(select(*args, **kwargs), fold=True, chosen=2)

    monkeypatch.setattr('lt_det.calibration.detect.select', chosen)
    selection = calibrated(
        config, checkpoint, held_out, tmp_path / 'out', rules=rules, iou_type=iou_type
    )
    with open(tmp_path / 'out' / 'sweep.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == selection.settings and len(rows) == len(RULES) + 1
    for expected, metrics in zip(tested, selection.metrics, strict=True):
        for name in ('AP', 'APr', 'APc', 'APf'):
            value = expected[f'lvis/{iou_type}_{name}']
            assert metrics[name] == pytest.approx(value, rel=0, abs=1e-12), name
    values = [metrics['AP'] for metrics in selection.metrics]
    assert values[0] > 0 and len(set(values)) > 3
    choice = read_choice(tmp_path / 'out' / 'choice.json')
    assert choice.heads[0].layers == ['roi_head.bbox_head.fc_cls']
    assert choice.fold and choice.setting['rules'] == [RULES[1]]
    if iou_type == 'bbox':
        masks = {name: tested[2][f'lvis/segm_{name}'] for name in ('AP', 'APr', 'APc', 'APf')}
        assert choice.masks['after'] == pytest.approx(masks, rel=0, abs=1e-12)
        assert choice.masks['before']['AP'] != masks['AP'] > 0
    assert choice.sha256['checkpoint'] and choice.sha256['train'] and choice.sha256['held_out']


def test_a_kill_loses_nothing(config, checkpoint, held_out, rules, tmp_path, monkeypatch):
    """Killed in the second chunk of images, and resumed: the rows are those of one run."""
    monkeypatch.setattr('lt_det.calibration.sweep._CHUNK', 8)
    whole = calibrated(config, checkpoint, held_out, tmp_path / 'whole', rules=rules)
    steps = []
    step = Sweep._step

    def killed(self, batch):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(Sweep, '_step', killed)
    with pytest.raises(KeyboardInterrupt):
        calibrated(config, checkpoint, held_out, tmp_path / 'out', rules=rules)
    monkeypatch.setattr(Sweep, '_step', step)
    done = json.loads((tmp_path / 'out/sweep/state.json').read_text())['done']
    assert done == 8
    with pytest.raises(BadInputError, match='has the sweep of 8 images; expected --resume'):
        calibrated(config, checkpoint, held_out, tmp_path / 'out', rules=rules)
    resumed = calibrated(config, checkpoint, held_out, tmp_path / 'out', rules=rules, resume=True)
    assert resumed == whole
    # a complete sweep: another choice without the network
    monkeypatch.setattr(Sweep, '_step', None)
    again = calibrated(
        config, checkpoint, held_out, tmp_path / 'out', rules=rules, resume=True, metric='APr'
    )
    assert again.metrics == whole.metrics and again.metric == 'APr'


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_images_that_were_trained_on_are_refused(config, tiny_glyphs, tmp_path):
    """By path; by id and name where the bytes are the same; not where numbering alone is."""
    cfg = config_of(config)
    val = json.loads((tiny_glyphs / 'annotations/glyphs_val.json').read_text())
    train = json.loads((tiny_glyphs / 'annotations/glyphs_train.json').read_text())
    mixed = {**val, 'images': val['images'] + train['images'][:3]}
    ids = {image['id'] for image in val['images']}
    for image in mixed['images'][-3:]:
        if image['id'] in ids:
            image['id'] += 10**6
    with pytest.raises(BadInputError, match=r'3 of \d+ held-out images are in .*glyphs_train'):
        DetectorData(cfg, write(tmp_path / 'mixed.json', mixed))

    # a copy of a training image in another folder, and another image with the same id and name
    images = tmp_path / 'images'
    copied, other = (dict(image) for image in train['images'][:2])
    for image, source in ((copied, copied), (other, val['images'][0])):
        target = images / image['file_name']
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_glyphs / source['file_name'], target)
    annotations = [a for a in train['annotations'] if a['image_id'] in (copied['id'], other['id'])]
    content = {**train, 'images': [copied, other], 'annotations': annotations}
    with pytest.raises(BadInputError, match='1 of 2 held-out images'):
        DetectorData(cfg, write(tmp_path / 'copies.json', content), images=images)


@pytest.mark.parametrize('kind', ['LongTailLVISDataset', 'CocoDataset'])
def test_a_missing_image_is_named_before_the_pass(config, held_out, kind, tmp_path):
    cfg = config_of(config)
    cfg.test_dataloader.dataset.update(type=kind, ann_file='elsewhere.json')
    content = json.loads(held_out.read_text())
    content['images'][-1].update(file_name='val/gone.png', coco_url='val/gone.png')
    with pytest.raises(MissingFileError, match=r'held\.json.*gone\.png'):
        DetectorData(cfg, write(tmp_path / 'held.json', content))


def test_what_cannot_be_judged_is_refused_before_the_pass(
    config, checkpoint, held_out, rules, tmp_path, monkeypatch
):
    monkeypatch.setattr(Sweep, '_step', None)
    text = config.read_text().replace(
        'test_dataloader = val_dataloader',
        "test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='elsewhere.json'))",
    )
    config = tmp_path / 'config.py'  # which does not test on these images
    config.write_text(text)
    content = json.loads(held_out.read_text())
    common = {c['id'] for c in content['categories'] if c['frequency'] != 'r'}
    kept = [a for a in content['annotations'] if a['category_id'] in common]
    path = write(tmp_path / 'held.json', {**content, 'annotations': kept})
    with pytest.raises(BadInputError, match=r'--keep is APr, which cannot be judged: none of its'):
        calibrated(config, checkpoint, path, tmp_path / 'a', rules=rules, keep={'APr': 0.0})
    bad = write(tmp_path / 'rules.json', dict(rules=[dict(type='NorCal', gamma=1, stage='train')]))
    with pytest.raises(BadInputError, match=r"rules\[0\]: adjustment.stage is 'train'"):
        calibrated(config, checkpoint, held_out, tmp_path / 'c', rules=str(bad))
    empty = write(tmp_path / 'empty.json', {**content, 'annotations': []})
    with pytest.raises(BadInputError, match='has no annotation of the 8 classes'):
        calibrated(config, checkpoint, empty, tmp_path / 'd', rules=rules)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(metric='mAP'), '--metric is mAP, expected one of AP, APr'),
        (dict(keep={'APf': float('nan')}), '--keep APf=nan, expected a finite number'),
        (dict(resamples=1), '--resamples is 1, expected at least 2'),
        (dict(), '--held-out has 1 images, expected at least 2'),
    ],
)
def test_options_are_refused_before_the_pass(options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(detect, 'scored_images', lambda data: np.ones(1, bool))
    with pytest.raises(BadInputError, match=message):
        calibrate_detector(Config(), 'no.pth', None, tmp_path, Options(**options))


def test_statistics_come_from_the_checkpoint_or_the_training_json(
    config, checkpoint, held_out, rules, tmp_path, tiny_glyphs
):
    cfg = config_of(config)
    with pytest.warns(DataWarning, match='is the json that the config tests on'):
        data = DetectorData(cfg, held_out)
    train = ClassFrequency.from_annotation_file(tiny_glyphs / 'annotations/glyphs_train.json')
    assert data.frequency(None) == train
    assert data.dimension().shape == (8,)
    with pytest.raises(BadInputError, match='statistics of 3 classes, the held-out data set has 8'):
        data.frequency(ClassFrequency([1, 2, 3]))
    with pytest.warns(DataWarning, match='the statistics of the checkpoint are not those of'):
        data.frequency(ClassFrequency([5] * 8, num_images=120))
    cfg.train_dataloader.dataset.ann_file = 'annotations/nowhere.json'
    with pytest.warns(DataWarning, match='whether held-out images were trained on is not known'):
        data = DetectorData(cfg, held_out)
    with pytest.raises(BadInputError, match='carries no class statistics.*expected --train'):
        data.frequency(None)
    assert data.dimension() is None
    data = DetectorData(cfg, held_out, train=tiny_glyphs / 'annotations/glyphs_train.json')
    assert data.frequency(None) == train


def test_the_command(config, checkpoint, held_out, rules, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ['calibrate', str(config), str(checkpoint), '--held-out', str(held_out)]
    options = ['--rules', rules, '--out', 'out', '--resamples', '5', '--keep', 'none']
    change = 'model.test_cfg.rcnn.max_per_img=29'
    assert main([*command, *options, '--cfg-options', change]) == 0
    printed = capsys.readouterr().out
    assert 'cross-fitted gain' in printed and 'choice: ' in printed and '6 settings' in printed
    choice = read_choice('out/choice.json')
    assert choice.sha256['config'] == sha256('out/config.py')
    folding = Config.fromfile(choice.config)  # with the override, and as large as it was
    assert folding.model.test_cfg.rcnn.max_per_img == 29
    assert folding.model.roi_head.bbox_head == Config.fromfile(config).model.roi_head.bbox_head
    assert choice.keep == {} and np.isfinite(choice.heads[0].scale).all()
    for arguments, message in (
        (['--keep', 'APf'], '--keep has APf, expected METRIC=LOSS'),
        (['--out', 'out', '--cfg-options', change], 'expected --resume'),
    ):
        with pytest.raises(SystemExit):
            main([*command, *options, *arguments])
        assert message in capsys.readouterr().err
