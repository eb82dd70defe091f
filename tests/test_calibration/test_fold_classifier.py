"""Classifiers with a rule in ``fc``, in a process where MMPretrain is alone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.registry import MODELS
from torch import nn

from lt_det.calibration.choice import Choice
from lt_det.calibration.classifier_head import head_map
from lt_det.calibration.fold import fold
from lt_det.errors import BadInputError
from lt_det.formats.files import sha256
from lt_det.frequency import ClassFrequency

C = 8
FREQUENCY = ClassFrequency([300, 200, 90, 60, 40, 10, 5, 2])
SMALL = dict(depth=18, stem_channels=8, base_channels=8)
SETTING = [dict(type='TauNorm', tau=0.5), dict(type='PriorShift', tau=0.5, stage='test')]
SHIFT = [dict(type='PriorShift', tau=1.0, stage='test')]
IIF = dict(type='IIF', link='smooth')


def config_of(crops: Path, rules: list[dict], head: dict, backbone: dict) -> Config:
    data = dict(
        type='ListFileDataset',
        data_root=str(crops),
        ann_file='val.txt',
        classes=str(crops / 'classes.txt'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    )
    return Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=dict(imports='lt_det'),
            data_preprocessor=dict(num_classes=C, mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True),
            model=dict(
                type='ImageClassifier',
                backbone={**SMALL, **backbone},
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LongTailClsHead',
                    num_classes=C,
                    in_channels=64,
                    adjustment=rules or None,
                    **head,
                ),
            ),
            test_cfg=dict(),
            test_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=data,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            test_evaluator=dict(type='LongTailAccuracy'),
        )
    )


class Case:
    """A calibrated classifier on disk, with random weights."""

    def __init__(
        self,
        folder: Path,
        crops: Path,
        setting: list[dict],
        trained: tuple[dict, ...] = (),
        head: dict | None = None,
        backbone: dict | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.config, self.checkpoint = folder / 'mine.py', folder / 'mine.pth'
        self.choice = folder / 'choice.json'
        parts = head or {}, backbone or dict(type='ResNet')
        plain = config_of(crops, [*trained], *parts)
        plain.dump(self.config)
        self.adjusted = config_of(crops, [*trained, *setting], *parts)
        init_default_scope('mmpretrain')
        torch.manual_seed(0)
        model = MODELS.build(copy.deepcopy(plain.model))
        model.head.set_class_frequency(FREQUENCY)
        nn.init.normal_(model.head.fc.weight, std=0.3)
        torch.save(dict(meta={}, state_dict=model.state_dict()), self.checkpoint)
        adjusted = MODELS.build(copy.deepcopy(self.adjusted.model))
        adjusted.load_state_dict(model.state_dict(), strict=False)
        adjusted.head.set_class_frequency(FREQUENCY)
        adjusted.eval()
        classes = (crops / 'classes.txt').read_text().splitlines()
        Choice(
            kind='classifier',
            fold=True,
            reason='',
            setting=dict(name='the setting', rules=setting),
            classes=classes,
            heads=[head_map(adjusted.head, None)],
            image_count=FREQUENCY.image_count.tolist(),
            instance_count=FREQUENCY.instance_count.tolist(),
            num_images=FREQUENCY.num_images,
            metric='macro',
            config=str(self.config),
            checkpoint=str(self.checkpoint),
            sha256=dict(config=sha256(self.config), checkpoint=sha256(self.checkpoint)),
        ).write(self.choice)

    def scores(self, image: Path) -> torch.Tensor:
        inferencer = ImageClassificationInferencer(
            copy.deepcopy(self.adjusted), str(self.checkpoint), device='cpu'
        )
        inferencer.model.head.set_class_frequency(FREQUENCY)
        return torch.tensor(inferencer(str(image))[0]['pred_scores'])


COSINE = dict(cls_predictor_cfg=dict(type='CosineLinear', scale=3.0, normalize_features=False))
CASES = {
    'linear': dict(setting=SETTING, head=dict(loss=dict(type='LDAMLoss'))),
    'trained with IIF': dict(setting=SHIFT, trained=(IIF,)),
    'cosine of weights': dict(setting=SHIFT, head=COSINE),
}


@pytest.fixture(scope='module')
def image(tiny_crops) -> Path:
    line = (tiny_crops / 'val.txt').read_text().splitlines()[0]
    return tiny_crops / line.rsplit(' ', 1)[0]


def test_stock_mmpretrain_predicts_what_we_predict(tmp_path, tiny_crops, image):
    cases = {name: Case(tmp_path / name, tiny_crops, **keys) for name, keys in CASES.items()}
    jobs = []
    for name, case in cases.items():
        folded = fold(case.checkpoint, case.choice, tmp_path / name / 'stock.pth')
        assert folded.layers == ['head.fc.bias', 'head.fc.weight'] and folded.needs == []
        files = dict(config=str(folded.config), checkpoint=str(folded.checkpoint))
        jobs.append(dict(name=name, kind='classifier', **files))
    (tmp_path / 'cases.json').write_text(json.dumps(jobs))
    script = Path(__file__).with_name('stock_process.py')
    command = [sys.executable, script, tmp_path / 'cases.json', image, tmp_path / 'found.pth']
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    found = torch.load(tmp_path / 'found.pth')
    classes = (tiny_crops / 'classes.txt').read_text().splitlines()
    for name, case in cases.items():
        expected = case.scores(image)
        assert found[name]['classes'] == classes and expected.max() - expected.min() > 0.05
        torch.testing.assert_close(found[name]['scores'], expected, rtol=0, atol=1e-5)
        assert (
            found[name]['data']['images']
            == len((tiny_crops / 'val.txt').read_text().split('\n')) - 1
        )


def test_a_network_that_is_only_here_is_named(tmp_path, tiny_crops, capsys):
    from lt_det.cli.main import main

    backbone = dict(type='LongTailResNet', depth=10)
    case = Case(tmp_path / 'case', tiny_crops, SHIFT, backbone=backbone)
    out = tmp_path / 'stock.pth'
    assert main(['fold', str(case.checkpoint), str(case.choice), str(out)]) == 0
    assert (
        "needed all the same, for model.backbone.type 'LongTailResNet'" in capsys.readouterr().out
    )
    config = Config.fromfile(out.with_suffix('.py'))
    assert config.custom_imports.imports == ['lt_det']
    assert config.model.head.type == 'LinearClsHead'


def test_cosine_classifiers_are_refused(tmp_path, tiny_crops):
    case = Case(
        tmp_path / 'case', tiny_crops, SHIFT, head=dict(cls_predictor_cfg=dict(type='CosineLinear'))
    )
    with pytest.raises(BadInputError, match="model.head.fc is a 'CosineLinear'"):
        fold(case.checkpoint, case.choice, tmp_path / 'stock.pth')
