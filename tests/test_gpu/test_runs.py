"""Commands as a user gives them, from the config to the page, where there is a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.device import utils
from torch.utils._pytree import tree_map

from lt_det.cli.main import main

from ..test_tools.conftest import CONFIG, ROOT

FEW = """
train_dataloader['dataset'].update(indices=4)
train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader['dataset'].update(ann_file='{val}')
val_evaluator.update(ann_file='{val}')
val_dataloader.update(num_workers=0, persistent_workers=False)
train_cfg.update(max_epochs=1, val_interval=1)
recompute = dict(type='RecomputeHook', modules=['neck', 'rpn_head'])
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook'), recompute]
"""


@pytest.fixture
def as_a_gpu(device, monkeypatch):
    """MMEngine's device is the GPU; of one that is not there, what torch does without Python."""
    monkeypatch.setattr(utils, 'DEVICE', device.type)
    if device.type == 'cuda':
        return device
    load, save = torch.load, torch.save

    def load_to(file, map_location=None, **options):
        found = load(file, map_location='cpu', **options)
        there = map_location is not None and device.type in str(map_location)
        return moved(found, device) if there else found

    def save_from(content, file, **options):
        save(moved(content, 'cpu'), file, **options)

    monkeypatch.setattr(torch, 'load', load_to)
    monkeypatch.setattr(torch, 'save', save_from)
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda tensor, *_: tensor)
    return device


def moved(content, device: torch.device | str):
    return tree_map(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, content)


def write_config(folder: Path, data: Path) -> tuple[Path, Path]:
    """A config that is tested on two images, and annotations of four others."""
    content = json.loads((data / 'annotations' / 'glyphs_val.json').read_text())
    images, annotations = content['images'], content['annotations']
    for name, some in (('val', images[:2]), ('held', images[2:6])):
        ids = {image['id'] for image in some}
        own = [annotation for annotation in annotations if annotation['image_id'] in ids]
        text = json.dumps({**content, 'images': some, 'annotations': own})
        (folder / f'{name}.json').write_text(text)
    base = ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_softmax_small.py'
    text = CONFIG.format(base=base, data=data) + FEW.format(val=folder / 'val.json')
    (folder / 'few.py').write_text(text)
    return folder / 'few.py', folder / 'held.json'


def test_from_training_to_calibration(as_a_gpu, tiny_glyphs, tmp_path, capsys):
    config, held_out = write_config(tmp_path, tiny_glyphs)
    work, images = tmp_path / 'work', tiny_glyphs / 'val'
    second = work / 'epoch_2.pth'

    def run(*arguments: object) -> str:
        assert main([*map(str, arguments)]) == 0
        return capsys.readouterr().out

    assert f'on {as_a_gpu}' in run('train', config, '--work-dir', work)
    more = ('--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    run('train', config, '--work-dir', work, *more)
    assert torch.load(second)['message_hub']
    run('test', config, second, '--work-dir', tmp_path / 'test')
    found = json.loads((tmp_path / 'test' / 'test' / 'metrics.json').read_text())
    expected = json.loads((work / 'metrics.json').read_text())
    assert found == pytest.approx(expected, abs=1e-3)  # sums of a GPU come in any order
    seen = sorted(images.iterdir())[:2]
    run('predict', config, second, *seen, '--out', tmp_path / 'seen', '--score-thr', '0.001')
    assert len(json.loads((tmp_path / 'seen' / 'predictions.json').read_text())) == 2
    rules = tmp_path / 'rules.py'
    rules.write_text("rules = [dict(type='NorCal', gamma=0.5), dict(type='TauNorm', tau=0.5)]")
    given = ('--held-out', held_out, '--images', images, '--resamples', 10, '--rules', rules)
    run('calibrate', config, second, *given, '--out', tmp_path / 'calibrated')
    assert (tmp_path / 'calibrated' / 'choice.json').is_file()
