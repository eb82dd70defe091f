"""The site of the documentation: its navigation, and a strict build where MkDocs is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def navigation(entry: object) -> list[str]:
    """Pages below an entry of ``nav``."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in navigation(child)]


def test_navigation_has_every_page_once():
    config = yaml.safe_load((ROOT / 'mkdocs.yml').read_text(encoding='utf-8'))
    pages = {path.relative_to(ROOT / 'docs').as_posix() for path in (ROOT / 'docs').rglob('*.md')}
    listed = navigation(config['nav'])
    assert pages <= set(listed) and len(listed) == len(set(listed))


def test_templates_and_workflows_are_yaml():
    files = sorted((ROOT / '.github').rglob('*.yml'))
    assert {path.name for path in files} >= {'ci.yml', 'bug.yml', 'method.yml'}
    for path in files:
        assert yaml.safe_load(path.read_text(encoding='utf-8')), path


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    version = {}
    exec((ROOT / 'lt_det/version.py').read_text(), version)
    assert citation['version'] == version['__version__']
    assert f'## [{citation["version"]}] - {citation["date-released"]}' in (
        ROOT / 'CHANGELOG.md'
    ).read_text(encoding='utf-8')


def built(root: Path, out: Path) -> subprocess.CompletedProcess:
    """A build as ``make docs`` does it; with ``-q`` warnings would not count as errors."""
    command = [sys.executable, '-m', 'mkdocs', 'build', '--site-dir', out]
    environment = os.environ | {'NO_MKDOCS_2_WARNING': '1'}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def test_make_docs_does_not_hide_warnings():
    (line,) = re.findall(r'mkdocs build.*', (ROOT / 'Makefile').read_text())
    assert '-q' not in line


@pytest.mark.slow
def test_site_builds(tmp_path):
    pytest.importorskip('mkdocs', reason='make docs installs it')
    done = built(ROOT, tmp_path / 'site')
    assert done.returncode == 0, done.stderr[-3000:]
    reference = (tmp_path / 'site/reference/adjustments/index.html').read_text()
    assert 'lt_det.adjustments.iif.IIF' in reference
    home = (tmp_path / 'site/index.html').read_text()
    assert 'Detectors that find rare classes too' in home and 'measured:' not in home


@pytest.mark.slow
def test_broken_links_fail_the_build(tmp_path):
    pytest.importorskip('mkdocs', reason='make docs installs it')
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    for name in ('docs', 'benchmarks/results', 'configs', 'lt_det'):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for path in [*ROOT.glob('*.md'), ROOT / 'mkdocs.yml', ROOT / 'LICENSE']:
        shutil.copy(path, tmp_path)
    with (tmp_path / 'docs/tour.md').open('a') as page:
        page.write('[x](nowhere.md) [y](methods/iif.md#nothing)')
    done = built(tmp_path, tmp_path / 'site')
    assert done.returncode == 1
    assert "link 'nowhere.md'" in done.stderr and "anchor '#nothing'" in done.stderr
