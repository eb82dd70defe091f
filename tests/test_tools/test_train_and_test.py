"""The main job through the command line: train, evaluate, stop, resume, two processes."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import signal
import time
from pathlib import Path

import cv2
import pytest

from lt_det.frequency import ClassFrequency

from ..tool_process import kill, start
from .conftest import ROOT, losses, run, run_new

COLUMNS = ['AP', 'APr', 'APc', 'APf', 'AP50', 'AP75', 'APs', 'APm', 'APl']


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / 'metrics.json').read_text())


def assert_sensible(values: dict[str, float]) -> None:
    for iou_type in ('bbox', 'segm'):
        for column in COLUMNS:
            value = values[f'{iou_type}_{column}']
            assert value == -1 or 0 <= value <= 1
        assert values[f'{iou_type}_AP'] >= 0


def test_training_ends_with_one_table_its_json_and_two_pictures(trained):
    output = (trained / 'stdout.txt').read_text()
    header = next(line for line in output.splitlines() if line.split() == COLUMNS)
    table = output[output.index(header) :].splitlines()[1:3]
    assert [row.split()[0] for row in table] == ['bbox', 'segm']
    values = metrics(trained)
    assert_sensible(values)
    for row in table:
        name, *cells = row.split()
        expected = [values[f'{name}_{column}'] for column in COLUMNS]
        assert cells == ['-' if value < 0 else f'{value:.3f}' for value in expected]
    for name in ('detections.png', 'ap_by_frequency.png'):
        picture = cv2.imread(str(trained / name))
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 5
    page = (trained / 'report.html').read_text()
    assert f'{values["bbox_AP"]:.3f}' in page and (trained / 'predictions.npz').is_file()


def test_training_learns(trained):
    curve = losses(trained)
    assert len(curve) == 24
    assert all(map(math.isfinite, curve.values()))
    # 0.73 to 0.80 with several seeds and builds of the stack
    assert sum(curve[step] for step in (22, 23, 24)) < 0.9 * sum(curve[step] for step in (1, 2, 3))


def test_checkpoint_is_evaluated_without_the_training_annotations(trained, config, tmp_path):
    shutil.copytree(config_data(config), tmp_path / 'data')
    (tmp_path / 'data' / 'annotations' / 'glyphs_train.json').unlink()
    moved = tmp_path / 'moved.py'
    moved.write_text(config.read_text().replace(config_data(config), str(tmp_path / 'data')))
    work_dir = tmp_path / 'work'
    predictions = tmp_path / 'predictions.pkl'
    result = run(
        'test.py', moved, trained / 'epoch_2.pth', '--work-dir', work_dir, '--out', predictions
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert metrics(work_dir / 'test') == metrics(trained)
    assert (work_dir / 'test' / 'detections.png').is_file()
    assert (work_dir / 'test' / 'report.html').is_file()
    assert len(pickle.loads(predictions.read_bytes())) == 24


def test_coco_annotations_are_scored_in_the_groups_of_the_checkpoint(trained, config, tmp_path):
    data = Path(config_data(config), 'annotations')
    content = json.loads((data / 'glyphs_val.json').read_text())
    for image in content['images']:
        del image['neg_category_ids'], image['not_exhaustive_category_ids']
    for category in content['categories']:
        for key in ('frequency', 'image_count', 'instance_count'):
            category.pop(key, None)
    coco = tmp_path / 'coco.json'
    coco.write_text(json.dumps(content))
    result = run(
        *('test.py', config, trained / 'epoch_2.pth', '--work-dir', tmp_path, '--cfg-options'),
        *(f'test_evaluator.ann_file={coco}', f'test_dataloader.dataset.ann_file={coco}'),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    values = metrics(tmp_path / 'test')
    assert_sensible(values)
    assert 'bbox_AR@100' in values and 'bbox_AR@300' not in values
    groups = ClassFrequency.from_annotation_file(data / 'glyphs_train.json').groups('lvis')
    known = [values[f'segm_AP{group}'] >= 0 for group in 'rcf']
    assert known == [group in groups for group in 'rcf']


def config_data(config: Path) -> str:
    line = next(line for line in config.read_text().splitlines() if line.startswith('data_root'))
    return line.split("'")[1].rstrip('/')


def test_resume_at_the_end_of_an_epoch_repeats_the_uninterrupted_losses(trained, config, tmp_path):
    work_dir = tmp_path / 'resumed'
    result = run('train.py', config, '--work-dir', work_dir, '--resume', trained / 'epoch_1.pth')
    assert result.returncode == 0, result.stderr[-3000:]
    resumed, uninterrupted = losses(work_dir), losses(trained)
    assert sorted(resumed) == list(range(13, 25))
    for step, loss in resumed.items():
        assert loss == pytest.approx(uninterrupted[step], abs=1e-6)
    assert metrics(work_dir) == pytest.approx(metrics(trained), abs=1e-6)


def test_killed_in_the_middle_of_an_epoch_and_resumed(config, tmp_path):
    command = ('tools/train.py', config, '--work-dir', tmp_path, '--verbose')
    process = start(*command, folder=tmp_path)
    deadline = time.monotonic() + 240
    while '[2][ 5/12]' not in (tmp_path / 'stdout').read_text() and process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(process)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / 'epoch_1.pth').is_file()
    result = run('train.py', config, '--work-dir', tmp_path, '--resume')
    assert result.returncode == 0, result.stderr[-3000:]
    assert_sensible(metrics(tmp_path))


def test_two_processes_evaluate_exactly_as_one(trained, config, tmp_path):
    result = run_new(
        'dist_test.sh', config, trained / 'epoch_2.pth', 2, '--work-dir', tmp_path,
        env=dict(PORT='29611'),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    assert metrics(tmp_path / 'test') == metrics(trained)


EQUAL_LOSSES = """
_base_ = ['{base}']
custom_imports = dict(imports=['lt_det', 'equal_losses'], allow_failed_imports=False)
# No batch statistics, and samplers without chance that take the same number from every image:
# then every loss of a process is a mean over as many terms, and their mean is the global one.
model = dict(
    backbone=dict(norm_eval=True),
    train_cfg=dict(
        rpn=dict(sampler=dict(type='FirstSampler', num=32)),
        rcnn=dict(sampler=dict(type='FirstSampler', num=4, pos_fraction=0.25)),
    ),
)
train_dataloader = dict(batch_size={batch_size}, batch_sampler=None)
train_cfg = dict(max_epochs=1, val_interval=5)
custom_hooks = [*_base_.custom_hooks, dict(type='RecordLosses', steps=5, path='{path}')]
"""

EQUAL_LOSSES_MODULE = '''
import json

import torch
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import TASK_UTILS
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@TASK_UTILS.register_module()
class FirstSampler(RandomSampler):
    def random_choice(self, gallery, num):
        return gallery[:num]


@HOOKS.register_module()
class RecordLosses(Hook):
    """The losses of the global batch: the mean over processes of as many images each."""

    def __init__(self, steps, path):
        self.steps, self.path, self.losses = steps, path, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().clone()
        dist.all_reduce(loss, 'mean')
        self.losses.append(loss.item())
        if len(self.losses) == self.steps:
            if dist.is_main_process():
                with open(self.path, 'w') as file:
                    json.dump(self.losses, file)
            dist.barrier()
            raise SystemExit
'''


def test_two_processes_train_as_one_with_the_same_global_batch(config, tmp_path):
    (tmp_path / 'equal_losses.py').write_text(EQUAL_LOSSES_MODULE)
    recorded = []
    for processes in (1, 2):
        path = tmp_path / f'{processes}.json'
        file = tmp_path / f'{processes}.py'
        file.write_text(EQUAL_LOSSES.format(base=config, path=path, batch_size=4 // processes))
        command = ['tools/train.py', file, '--work-dir', tmp_path / f'work{processes}']
        if processes == 2:
            command += ['--launcher', 'pytorch']
        env = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='29613', WORLD_SIZE=str(processes))
        env['PYTHONPATH'] = f'{ROOT}:{tmp_path}'
        started = []
        for rank in map(str, range(processes)):  # as torchrun does
            folder = tmp_path / f'{rank}_of_{processes}'
            folder.mkdir()
            ranked = dict(env, RANK=rank, LOCAL_RANK=rank)
            started.append((start(*command, folder=folder, env=ranked), folder))
        for process, folder in started:
            process.join(300)
            assert process.exitcode == 0, (folder / 'stderr').read_text()[-3000:]
        recorded.append(json.loads(path.read_text()))
    one, two = recorded
    assert len(one) == 5
    assert two == pytest.approx(one, abs=1e-4)
