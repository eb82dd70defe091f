"""The page on architecture says what the code does."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from pathlib import Path

from lt_det import protocols

from .test_links import CLASSES, ROOT, fences, sources

PAGE = ROOT / 'docs/architecture.md'
TEXT = PAGE.read_text('utf-8')
SOURCE = sources('lt_det')
FUNCTIONS = set(re.findall(r'^ *def (\w+)', SOURCE, re.MULTILINE))
FOREIGN = {'PackInputs', 'ImageClassifier', 'SyncBN'}  # of MMPretrain


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading."""
    section = TEXT.split(f'## {heading}\n')[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r'`([\w.]+)`', cell)


def test_diagram_is_what_its_script_draws():
    script = runpy.run_path(str(ROOT / 'docs/pictures/architecture.py'))
    picture = (ROOT / 'docs/pictures/architecture.svg').read_text('utf-8')
    assert script['draw']() == picture
    # nothing to fetch, and packages that exist
    assert not re.findall(r'href|url\(http|<image|<script|@import', picture)
    packages = re.findall(r'>lt_det\.(\w+)<', picture)
    assert len(packages) == 9
    assert all((ROOT / 'lt_det' / name).is_dir() or name == 'frequency' for name in packages)


def test_table_has_the_methods_of_all_protocols():
    methods = {
        method
        for protocol in vars(protocols).values()
        if getattr(protocol, '_is_runtime_protocol', False)
        for method, value in vars(protocol).items()
        if inspect.isfunction(value) and not method.startswith('_')
    }
    assert {code(row[0])[0] for row in rows('How statistics reach a module')} == methods


def test_table_names_who_has_each_method_and_who_calls_it():
    definitions = {}
    for path in (ROOT / 'lt_det').rglob('*.py'):
        if '.mim' not in path.parts:
            for node in ast.walk(ast.parse(path.read_text('utf-8'))):
                if isinstance(node, ast.ClassDef):
                    definitions[node.name] = ast.unparse(node)
    for method, owners, caller in rows('How statistics reach a module'):
        (name,) = code(method)
        for owner in code(owners):
            assert f'def {name}(' in definitions[owner], (name, owner)
        if caller.startswith('the head, by `show_classifier`'):
            assert 'show_classifier(' in definitions['LongTailClsHead']
        else:
            assert f'.{name}(' in definitions[code(caller)[0]], (name, caller)


def test_names_in_the_maps_exist():
    maps = '\n'.join(fences(PAGE, ''))
    assert maps.count('->') > 30
    for name, method in re.findall(r'\b([A-Z]\w*[a-z]\w*)(?:\.(\w+))?', maps):
        if len(name) > 3:
            assert name in CLASSES | FOREIGN, name
        assert not method or method in FUNCTIONS, (name, method)
    for name in re.findall(r'\b[a-z]+(?:_[a-z]+)+\b', maps):
        assert name in SOURCE, name


def layer_of() -> dict[str, int]:
    """Rows of the table of packages, counted from below."""
    table = rows('What imports what')
    return {
        name.removeprefix('lt_det.'): level
        for level, (names, _) in enumerate(reversed(table))
        for name in code(names)
    }


def imported(path: Path) -> set[str]:
    """Packages of lt_det that a file imports, types alone left out."""
    package = path.relative_to(ROOT).parts[:-1]
    tree = ast.parse(path.read_text('utf-8'))
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node in typing:
            continue
        base = package[: len(package) - node.level + 1] if node.level else ()
        module = [*base, *filter(None, (node.module or '').split('.'))]
        if module[:1] == ['lt_det']:
            names |= {module[1]} if len(module) > 1 else {alias.name for alias in node.names}
    return names


def test_imports_point_one_way():
    layer = layer_of()
    assert len(layer) >= 12 and layer['errors'] == 0
    seen = 0
    for path in (ROOT / 'lt_det').rglob('*.py'):
        own = path.relative_to(ROOT / 'lt_det').with_suffix('').parts[0]
        if '.mim' in path.parts or own not in layer:
            continue
        for other in imported(path) & layer.keys():
            seen += 1
            assert layer[other] <= layer[own], f'{path} imports lt_det.{other}'
    assert seen > 300
