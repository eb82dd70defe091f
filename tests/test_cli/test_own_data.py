"""The way of a person with a json: look, write a config, train, predict."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from lt_det.cli.main import main

from ..tool_process import run
from .own_data import NAMES, make

SMALL = (
    *('train_dataloader.dataset.pipeline.2.scale=(96,96)', 'train_dataloader.num_workers=0'),
    *('val_dataloader.dataset.pipeline.1.scale=(96,96)', 'val_dataloader.num_workers=0'),
)


def test_from_a_json_to_a_table_and_pictures(tmp_path, monkeypatch, capsys):
    make(tmp_path, [12, 8, 6, 4, 4, 2, 2, 2, 1, 1, 1, 1], [1] * 12)
    monkeypatch.chdir(tmp_path)
    data = ('train.json', 'val.json', '--images', 'images')
    assert main(['inspect', *data, '--json', 'found.json']) == 1
    found = json.loads(Path('found.json').read_text())
    problems = {problem['kind']: problem['count'] for problem in found['problems']}
    assert problems['image_same_content'] == 2
    assert problems['mask_missing'] == 2

    options = ('--model', 'mask_rcnn_r18', '--weights', 'none', '--epochs', '1', '--gpus', '0')
    assert main(['init', *data, *options, '--out', 'mine.py']) == 0
    capsys.readouterr()
    result = run('-m', 'lt_det', 'train', 'mine.py', '--cfg-options', *SMALL, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) + len(result.stderr.splitlines()) <= 25, result.stdout + result.stderr
    assert any(line.startswith('data: ') and '12 classes' in line for line in lines)
    assert any(line.startswith('model: MaskRCNN') and 'IIF' in line for line in lines)
    header = next(line.split() for line in lines if line.split()[:1] == ['AP'])
    assert header[:4] == ['AP', 'APr', 'APc', 'APf']
    assert [line.split()[0] for line in lines if line[:4] in ('bbox', 'segm')] == ['bbox', 'segm']
    assert Path('work_dirs/mine/epoch_1.pth').is_file()

    result = run(
        *('-m', 'lt_det', 'predict', 'mine.py', 'work_dirs/mine/epoch_1.pth', 'images/val_*.jpg'),
        *('--score-thr', '0.01', '--device', 'cpu', '--cfg-options', *SMALL),
        'test_dataloader.dataset.pipeline.1.scale=(96,96)',
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    predictions = json.loads(Path('predictions/predictions.json').read_text())
    assert len(predictions) == 10
    assert {d['class'] for record in predictions for d in record['detections']} <= set(NAMES)
    assert len(list(Path('predictions').glob('val_*.jpg'))) == 10
    assert cv2.imread('predictions/val_0001.jpg').shape == (96, 96, 3)
