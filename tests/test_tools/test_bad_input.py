"""One line on stderr and no traceback."""

from __future__ import annotations

import pytest

from .conftest import run, run_new


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            ['configs/lvis/mask_rcnn_r50_iif.py'],
            'error: annotation file data/none/annotations/lvis_v1_train.json does not exist',
        ),
        (['configs/lvis/none.py'], 'error: config configs/lvis/none.py does not exist'),
    ],
)
def test_training_without_data_or_config(arguments, message, tmp_path):
    options = ['model.backbone.init_cfg=None', 'train_dataloader.dataset.data_root=data/none/']
    result = run('train.py', *arguments, '--work-dir', tmp_path, '--cfg-options', *options)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(message)
    assert 'Traceback' not in result.stderr


def test_missing_checkpoint_and_bad_output_name(config, tmp_path):
    result = run('test.py', config, tmp_path / 'gone.pth', '--work-dir', tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f'error: checkpoint {tmp_path / "gone.pth"} does not exist'
    )
    result = run('test.py', config, tmp_path / 'gone.pth', '--out', 'a.json')
    assert result.returncode == 2
    assert '--out is a.json' in result.stderr


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [('dist_train.sh', 2), ('dist_test.sh', 3), ('slurm_train.sh', 4), ('slurm_test.sh', 4)],
)
def test_launchers_say_how_they_are_used(script, arguments):
    result = run_new(script, *['x'] * (arguments - 1))
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')
