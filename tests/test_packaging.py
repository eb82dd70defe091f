"""What ``pip install`` brings along, and what the launch scripts start; needs no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lt_det.compat.families import DISTRIBUTIONS, FORK

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = ('lt_det', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'MANIFEST.in')
PACKAGED += ('model-index.yml', 'README.md', 'LICENSE')
CONFIG = 'lvis/mask_rcnn_r50_iif.py'
SCRIPTS = ('dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh')


def python(code: str, cwd: Path, **env: str) -> str:
    """Output of ``code`` in a process that knows nothing of this source tree."""
    env = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')} | env
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.splitlines()[-1] if result.stdout else ''


def pip(*arguments: str | Path, cwd: Path) -> None:
    command = [sys.executable, '-m', 'pip', *map(str, arguments), '--quiet', '--no-deps']
    result = subprocess.run([*command, '--no-index'], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the tree, so that the builds leave nothing in this one."""
    pytest.importorskip('setuptools', minversion='70.1', reason='builds wheels without a network')
    source = tmp_path_factory.mktemp('source')
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__', '.mim')
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope='module')
def wheel(source: Path, tmp_path_factory) -> Path:
    stale = source / 'build/lib/lt_det/gone.py'  # left by the build of an earlier version
    stale.parent.mkdir(parents=True)
    stale.touch()
    before = listing(source)
    folder = tmp_path_factory.mktemp('wheel')
    pip('wheel', '--no-build-isolation', '--wheel-dir', folder, source, cwd=folder)
    assert listing(source) == before
    (wheel,) = folder.glob('*.whl')
    return wheel


@pytest.fixture(scope='module')
def installed(wheel: Path, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp('installed')
    pip('install', '--target', target, wheel, cwd=target)
    return target


def listing(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob('*'))
    return {str(p) for p in paths if p.parts[0] != 'build' and 'egg-info' not in p.parts[0]}


def files_below(*folders: str) -> set[str]:
    found = (path for folder in folders for path in (ROOT / folder).rglob('*') if path.is_file())
    names = {path.relative_to(ROOT).as_posix() for path in found}
    return {name for name in names if '__pycache__' not in name and '/.' not in name}


def test_wheel_holds_the_package_and_all_configs_and_tools(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if 'dist-info' not in name}
    carried = {f'lt_det/.mim/{name}' for name in files_below('configs', 'tools')}
    assert names == carried | files_below('lt_det') | {'lt_det/.mim/model-index.yml'}


def test_version_and_requirements(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith('/METADATA'))
    metadata = message_from_bytes(archive.read(name))
    version = {}
    exec((ROOT / 'lt_det/version.py').read_text(), version)
    assert metadata['Version'] == version['__version__']
    pythons = SpecifierSet(metadata['Requires-Python'])
    assert [f'3.{minor}.0' in pythons for minor in range(9, 15)] == [False, *5 * [True]]
    lines = [Requirement(line) for line in metadata.get_all('Requires-Dist')]
    always = {line.name for line in lines if not line.marker}
    assert {'torch', 'numpy', 'hotcoco'} < always
    assert not {'lvis', 'pytest', 'ruff'} & always
    # an environment with the original OpenMMLab packages is left as it is
    assert not [name for name in always if name.startswith(('mm', 'onedl', 'opencv'))]
    forks = {line.name for line in lines if 'extra == "onedl"' in str(line.marker)}
    assert forks == {names[FORK][0] for names in DISTRIBUTIONS.values()}


def test_the_command_is_installed(installed, tmp_path):
    (command,) = (installed / 'bin').glob('lt_det*')
    assert 'from lt_det.cli.main import main' in command.read_text()
    shown = python(
        f'import runpy, sys; sys.argv = ["lt_det", "--version"]; '
        f'runpy.run_path({str(command)!r}, run_name="__main__")',
        tmp_path,
        PYTHONPATH=str(installed),
    )
    assert shown.startswith('lt_det ')


LOOKUP = f"""
from mmengine.config.utils import MODULE2PACKAGE
MODULE2PACKAGE['lt_det'] = 'lt_det'
from mmengine.hub import get_config
print(get_config('lt_det::{CONFIG}').filename)
"""
BY_NAME = f"""
import lt_det
from mmengine.config import Config
print(Config.fromfile('lt_det::{CONFIG}').filename)
"""


def test_installed_configs_are_where_mmengine_looks(installed, tmp_path):
    found = python(LOOKUP, tmp_path, PYTHONPATH=str(installed))
    assert found == str(installed / 'lt_det/.mim/configs' / CONFIG)


def test_config_by_package_name(installed, tmp_path):
    found = python(BY_NAME, tmp_path, PYTHONPATH=str(installed))
    assert found == str(installed / 'lt_det/.mim/configs' / CONFIG)


def test_editable_install_links_to_the_tree(source, tmp_path):
    build = f'from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})'
    for _ in range(2):  # again over its own links
        python(build, source)
    links = source / 'lt_det/.mim'
    try:
        for name in ('configs', 'tools', 'model-index.yml'):
            assert (links / name).resolve() == (source / name).resolve()
            assert not Path(os.readlink(links / name)).is_absolute()
        assert python(LOOKUP, tmp_path, PYTHONPATH=str(source)).endswith(CONFIG)
    finally:
        shutil.rmtree(links)


def read_pins() -> list[Requirement]:
    lines = (ROOT / 'requirements/constraints.txt').read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


@pytest.mark.parametrize('minor', range(10, 15))
def test_each_python_has_one_pin_of_a_package(minor):
    python = dict(python_version=f'3.{minor}')
    names = [pin.name for pin in read_pins() if not pin.marker or pin.marker.evaluate(python)]
    assert len(names) == len(set(names)) > 80
    assert {'torch', 'torchvision', 'numpy', 'opencv-python', 'scipy'} < set(names)


def test_pins_lie_inside_the_ranges():
    pins = read_pins()
    setup = (ROOT / 'setup.py').read_text()
    block = setup[setup.index('install_requires=[') : setup.index('classifiers=[')]
    ranges = [Requirement(word) for word in block.split("'")[1::2] if set(word) & set('<>=')]
    assert len(ranges) > 12
    for requirement in ranges:
        versions = [str(pin.specifier)[2:] for pin in pins if pin.name == requirement.name]
        assert versions, f'{requirement.name} has no tested pin'
        assert all(version in requirement.specifier for version in versions), requirement


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        (('6 /home', '1 /tmp'), '1.0 GiB are free on /tmp, expected 2 or more'),
        (('5 /home', '9 /tmp'), '5.0 GiB are free on /home, expected 6 or more'),
        (('7 /', '7 /'), '7.0 GiB are free on /, expected 8 or more'),
        (('6 /home', '2 /tmp'), None),
        (('8 /', '8 /'), None),
    ],
)
def test_make_asks_for_disk_before_it_installs(rows, message, tmp_path, monkeypatch):
    shutil.copy(ROOT / 'Makefile', tmp_path)
    for name in ('setup.py', 'requirements/constraints.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = [f'disk 0 0 {int(free) * 2**20} 0% {at}' for free, at in map(str.split, rows)]
    # a Python that may be used, but fails to make an environment
    programs = {'df': '\n'.join(["cat <<'END'\nheader", *rows, 'END']), 'snake': '[ "$1" = -c ]'}
    for name, text in programs.items():
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{path.parent}{os.pathsep}{os.environ["PATH"]}')
    command = ['make', 'PYTHON=snake', 'venv']
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode
    assert (f'.venv: {message}\n' in result.stderr) == (message is not None)
    assert ('are free' in result.stderr) == (message is not None)
    assert (tmp_path / '.venv').exists() == (message is None)


def launch(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    command = ['bash', str(ROOT / 'tools' / script), *arguments]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True)


@pytest.fixture
def echo(tmp_path, monkeypatch) -> str:
    """A program that prints its arguments, one a line, in place of python and srun."""
    path = tmp_path / 'srun'
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT', 'GPUS', 'GPUS_PER_NODE'):
        monkeypatch.delenv(name, raising=False)
    for name in ('CPUS_PER_TASK', 'SRUN_ARGS', 'PY_ARGS'):
        monkeypatch.delenv(name, raising=False)
    return str(path)


@pytest.mark.parametrize('script', SCRIPTS)
def test_launch_script_is_executable_bash_and_says_its_usage(script):
    path = ROOT / 'tools' / script
    assert os.access(path, os.X_OK)
    subprocess.run(['bash', '-n', str(path)], check=True)
    result = launch(script)
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')


def test_dist_scripts_start_torchrun(echo):
    words = launch('dist_train.sh', 'a b.py', '2', '--amp', PYTHON=echo).stdout.splitlines()
    assert words[:2] == ['-m', 'torch.distributed.run']
    assert set(words[2:7]) == {
        '--nnodes=1',
        '--node_rank=0',
        '--master_addr=127.0.0.1',
        '--master_port=29500',
        '--nproc_per_node=2',
    }
    script = str(ROOT / 'tools/train.py')
    assert words[7:] == [script, 'a b.py', '--launcher', 'pytorch', '--amp']

    env = dict(NNODES='3', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='29501')
    words = launch('dist_test.sh', 'a.py', 'a.pth', '8', **env, PYTHON=echo).stdout.splitlines()
    assert {'--nnodes=3', '--node_rank=1', '--master_addr=10.0.0.1'} < set(words)
    assert {'--master_port=29501', '--nproc_per_node=8'} < set(words)
    assert words[7:] == [str(ROOT / 'tools/test.py'), 'a.py', 'a.pth', '--launcher', 'pytorch']


def test_slurm_scripts_start_srun(echo):
    env = dict(GPUS='4', SRUN_ARGS='--qos=low --time=60', PY_ARGS='--resume', PYTHON='py')
    arguments = ('part', 'job', 'a b.py', 'work', '--amp')
    words = launch('slurm_train.sh', *arguments, **env).stdout.splitlines()
    assert words[:2] == ['-p', 'part']
    assert {'--job-name=job', '--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4'} < set(words)
    assert {'--cpus-per-task=5', '--kill-on-bad-exit=1', '--qos=low', '--time=60'} < set(words)
    assert words[words.index('py') :] == [
        *('py', '-u', str(ROOT / 'tools/train.py'), 'a b.py', '--work-dir', 'work'),
        *('--launcher', 'slurm', '--resume', '--amp'),
    ]
    words = launch('slurm_test.sh', 'part', 'job', 'a.py', 'a.pth', GPUS='16').stdout.splitlines()
    assert {'--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8'} < set(words)
    assert words[-5:] == [str(ROOT / 'tools/test.py'), 'a.py', 'a.pth', '--launcher', 'slurm']
