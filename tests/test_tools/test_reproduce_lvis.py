"""The script that trains what papers report on LVIS: order, going on, page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools/reproduce_lvis.sh'
RFS, NORCAL = 'mask_rcnn_r50_softmax_rfs_2x', 'mask_rcnn_r50_norcal_rfs_2x'

# in place of Python: notes each training and test, leaves what they leave; the tool is run
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
if sys.argv[1] != '-m':
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
script = next(word for word in sys.argv if word.endswith(('train.py', 'test.py')))
words = sys.argv[sys.argv.index(script):]
with open({calls!r}, 'a') as file:
    print(json.dumps(words), file=file)
if os.environ.get('FAIL') in words[0:1] + [Path(script).name]:
    sys.exit(3)
work_dir = Path(words[words.index('--work-dir') + 1])
(work_dir / 'vis_data').mkdir(parents=True, exist_ok=True)
if script.endswith('train.py'):
    (work_dir / 'last_checkpoint').write_text(f'{{work_dir}}/epoch_24.pth')
else:
    values = dict(segm_AP=0.25, segm_APr=0.125, segm_APc=0.2, segm_APf=0.3, bbox_AP=0.26)
    (work_dir / 'metrics.json').write_text(json.dumps(values))
"""


@pytest.fixture
def reproduce(tmp_path):
    """Run the script; commands of training and testing since the last time, the page."""
    calls, python = tmp_path / 'calls', tmp_path / 'python'
    python.write_text(STAND_IN.format(python=sys.executable, calls=str(calls)))
    python.chmod(0o755)

    def run(*arguments, **env):
        calls.write_text('')
        done = subprocess.run(
            ['bash', str(SCRIPT), *arguments],
            env={**os.environ, 'PYTHON': str(python), **env},
            capture_output=True,
            text=True,
        )
        return done, [json.loads(line) for line in calls.read_text().splitlines()]

    return run


def test_trains_tests_and_goes_on(reproduce, tmp_path):
    out = tmp_path / 'a folder'
    stopped, calls = reproduce('8', str(out), NAMES=NORCAL, FAIL='test.py')
    assert stopped.returncode == 3
    train, test = calls
    assert Path(train[1]).name == f'{RFS}.py'
    assert train[train.index('--work-dir') + 1] == str(out / RFS)
    assert '--resume' in train and 'train_dataloader.batch_size=2' in train
    assert test[1:3] == [str(ROOT / f'configs/lvis/{RFS}.py'), f'{out / RFS}/epoch_24.pth']

    done, calls = reproduce('8', str(out), NAMES=NORCAL)  # what it needs is trained, not again
    assert done.returncode == 0, done.stderr
    assert [Path(words[0]).name for words in calls] == ['test.py', 'test.py']
    assert [Path(words[1]).stem for words in calls] == [RFS, NORCAL]
    assert [words[2] for words in calls] == [f'{out / RFS}/epoch_24.pth'] * 2
    page = (out / 'results.md').read_text()
    assert f'| {RFS} | 23.7 / 13.5 / 22.8 / 29.3, 24.7 ([source]' in page
    assert f'| {NORCAL} | - | 25.0 / 12.5 / 20.0 / 30.0, 26.0 | - | - |' in page

    done, calls = reproduce('8', str(out), NAMES=NORCAL)
    assert (done.returncode, calls) == (0, [])


def test_hours_and_memory_are_those_of_the_log(tmp_path):
    log = tmp_path / RFS / '20260101_000000' / 'vis_data'
    log.mkdir(parents=True)
    rows = [{'loss': 1.0, 'time': 1.8, 'memory': 2048, 'step': step} for step in (1000, 2000)]
    rows += [{'loss': 1.0, 'time': 3.6, 'memory': 3072, 'step': 2000}]  # once more, resumed
    rows += [{'coco/bbox_mAP': 0.1, 'time': 9.0, 'step': 1}]
    (log / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    subprocess.run([sys.executable, ROOT / 'tools/analysis/lvis_results.py', tmp_path], check=True)
    assert (
        '29.3, 24.7 ([source](https://arxiv.org/abs/2008.10032)) | - | 1.5 | 3.0 |'
        in (tmp_path / 'results.md').read_text()
    )


def test_bad_arguments(reproduce, tmp_path):
    for arguments in (['3'], ['eight'], ['8', 'a', 'b']):
        done, _ = reproduce(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith('usage: ')
    done, calls = reproduce('8', str(tmp_path), NAMES='mask_rcnn')
    assert done.returncode == 1 and not calls
    assert done.stderr.startswith('error: NAMES has mask_rcnn; expected some of mask_rcnn_r50_sof')


def test_rules_at_test_alone_have_the_training_of_their_checkpoint():
    sys.path.insert(0, str(ROOT / 'tools/analysis'))
    try:
        from lvis_results import PLAN
    finally:
        sys.path.pop(0)
    for name, trained in PLAN.items():
        config = Config.fromfile(ROOT / f'configs/lvis/{name}.py')
        assert config.train_dataloader.batch_size == 4
        if trained:
            other = Config.fromfile(ROOT / f'configs/lvis/{trained}.py')
            assert config.train_dataloader == other.train_dataloader
            assert config.model.roi_head.bbox_head.pop('adjustment')
            other.model.roi_head.bbox_head.pop('adjustment', None)
            assert config.model == other.model
