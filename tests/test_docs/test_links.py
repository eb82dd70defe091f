"""Links and snippets of README and docs lead somewhere and can be pasted."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from lt_det.cli.main import COMMANDS, add_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob('*.md')), *sorted((ROOT / 'docs').rglob('*.md'))]
PAGES += [ROOT / 'configs/lvis/README.md']
FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.DOTALL | re.MULTILINE)
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')

pages = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    """A page without code and comments."""
    text = re.sub(r'<!--.*?-->', '', page.read_text(encoding='utf-8'), flags=re.DOTALL)
    return re.sub(r'`[^`\n]+`', lambda code: code[0].replace('](', ']\u200b('), FENCE.sub('', text))


def anchors(page: Path) -> set[str]:
    """Names of the headings, as GitHub and Python-Markdown make them."""
    headings = re.findall(r'^#+ +(.+?) *$', FENCE.sub('', page.read_text()), re.MULTILINE)
    plain = [re.sub(r'[^\w\- ]', '', heading).strip().lower() for heading in headings]
    return {re.sub(r'\s', '-', heading) for heading in plain}


def broken_links(page: Path) -> list[str]:
    broken = []
    for match in LINK.finditer(text_of(page)):
        link = match[1] or match[2]
        if re.match(r'[a-z]+:', link):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pages
def test_relative_links_resolve(page):
    assert not broken_links(page)


def test_broken_links_are_noticed(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        '# One title, `code` and more\n[x](#two) [y](page.md#one-title-code-and-more)\n'
    )
    with page.open('a') as file:
        file.write('[z](none.md) <img src="none.png"> `[code](not_a_link)`\n')
    assert broken_links(page) == ['#two', 'none.md', 'none.png']


def fences(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


@pages
def test_python_snippets_parse(page):
    for body in fences(page, 'python'):
        ast.parse(body)


def commands(page: Path) -> list[list[str]]:
    """Commands of the shell snippets; output and usage lines are no commands."""
    found = []
    for body in fences(page, '', 'sh', 'bash', 'shell'):
        for line in body.replace('\\\n', ' ').splitlines():
            if re.match(r'(lt_det|python|bash|make|pip|\.) ', line):
                found.append(shlex.split(line, comments=True))
    return found


@pytest.fixture(scope='module')
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='lt_det', exit_on_error=False)
    subparsers = parser.add_subparsers(dest='command', required=True)
    for name in COMMANDS:
        add_parser(subparsers, name, import_module(f'lt_det.cli.{name}'))
    return parser


@pages
def test_commands_exist(page, parser):
    targets = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    for command, *arguments in commands(page):
        if command == 'lt_det':
            parser.parse_args(arguments)  # a wrong one exits
        elif command == 'make':
            assert arguments[0] in targets
        elif command in ('python', 'bash') and not arguments[0].startswith('-'):
            shown = any(body.startswith(f'# {arguments[0]}\n') for body in fences(page, 'python'))
            assert shown or (ROOT / arguments[0]).is_file(), arguments[0]
        for name in arguments:
            if name.startswith(('configs/', 'tools/', 'requirements/')):
                assert (ROOT / name).is_file(), name


@pages
def test_shell_snippets_parse(page):
    for body in fences(page, 'sh', 'bash', 'shell'):
        subprocess.run(['bash', '-n'], input=body, text=True, check=True)


def sources(*folders: str) -> str:
    files = [path for name in folders for path in (ROOT / name).rglob('*.py')]
    return '\n'.join(path.read_text('utf-8') for path in files if '.mim' not in path.parts)


def code_of(page: Path) -> str:
    """Snippets and words of a page that are code."""
    code = re.compile(r'^```.*?^```|`[^`\n]+`', re.DOTALL | re.MULTILINE)
    return '\n'.join(code.findall(page.read_text(encoding='utf-8')))


OPTIONS = set(re.findall(r"'(--[a-z][a-z-]*)'", sources('lt_det', 'tools', 'benchmarks')))
OPTIONS |= {'--dist', '--fix'}  # of pytest, of ruff
CLASSES = set(re.findall(r"^class (\w+)|\bname='(\w+)'", sources('lt_det'), re.MULTILINE))
CLASSES = {name for pair in CLASSES for name in pair}
# of OpenMMLab
CLASSES |= {'CrossEntropyLoss', 'FCNMaskHead', 'LVISMetric', 'MaxIoUAssigner', 'Pretrained'}
CLASSES |= {
    'MultiImageMixDataset',
    'PackDetInputs',
    'RPNHead',
    'RandomSampler',
    'SingleRoIExtractor',
}
FOLDERS = r'configs|tools|benchmarks|lt_det|tests|docs|requirements'


@pages
def test_options_classes_and_paths_exist(page):
    code = code_of(page)
    assert set(re.findall(r'(?<![\w-])--[a-z][a-z-]*', code)) <= OPTIONS
    own = set(re.findall(r'^class (\w+)', code, re.MULTILINE))  # examples of the page
    assert set(re.findall(r"\btype='(\w+)'", code)) <= CLASSES | own
    paths = re.findall(rf'(?<![\w/.])(?:{FOLDERS})/[\w*./-]+', code)
    assert not [path for path in paths if not list(ROOT.glob(path))]


def test_readme_is_short_enough_to_be_read():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 150


def sentences() -> set[str]:
    """All strings of the package."""
    strings = set()
    for path in (ROOT / 'lt_det').rglob('*.py'):
        if '.mim' not in path.parts:
            nodes = ast.walk(ast.parse(path.read_text(encoding='utf-8')))
            strings |= {
                node.value
                for node in nodes
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return strings


# those of others: MMDetection's, Python's and torch's
FOREIGN = {
    "No module named 'mmcv._ext'",
    'MMCV==2.2.0 is used but incompatible',
    "No module named 'pkg_resources'",
    "module 'numpy' has no attribute 'float'",
    'CUDA out of memory',
    'Weights only load failed',
    'nan',
    '-',
}


def test_troubleshooting_quotes_messages_that_exist():
    page = (ROOT / 'docs/troubleshooting.md').read_text()
    quoted = re.findall(r'^### .*?`(.+)`', page, re.MULTILINE)
    assert len(quoted) >= 20 and set(quoted) >= FOREIGN
    strings = '\n'.join(sentences())
    parts = '...'.join(name for name in quoted if name not in FOREIGN).split('...')
    assert not [part for part in parts if part.strip(' ,') not in strings]
