"""Python snippets of the docs do what they say, on a small data set in place of theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from lt_det.adjustments import build_adjustment
from lt_det.frequency import ClassFrequency

from .test_links import PAGES, ROOT, fences

FREQUENCY = ClassFrequency(image_count=[80, 5, 1], instance_count=[200, 9, 1], num_images=80)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A folder with the files that the snippets read: two images of two classes, all found."""
    images = [
        dict(id=i, width=20, height=20, neg_category_ids=[], not_exhaustive_category_ids=[])
        for i in (1, 2)
    ]
    square = [[2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]]
    found = [
        dict(image_id=i, category_id=i, bbox=[2.0, 2.0, 10.0, 10.0], segmentation=square)
        for i in (1, 2)
    ]
    annotations = [dict(box, id=i, area=100.0) for i, box in enumerate(found, 1)]
    categories = [
        dict(id=i, name=name, frequency='r', image_count=1, instance_count=1)
        for i, name in ((1, 'cat'), (2, 'dog'))
    ]
    content = dict(images=images, annotations=annotations, categories=categories)
    for name in ('lvis_v1_val.json', 'data/glyphs/demo/annotations/glyphs_train.json'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    (tmp_path / 'results.json').write_text(json.dumps([dict(box, score=0.9) for box in found]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_evaluation_from_python(elsewhere):
    (snippet,) = fences(ROOT / 'docs/guides/evaluate.md', 'python')
    names = {}
    exec(snippet, names)
    assert names['metrics']['AP'] == pytest.approx(1) and names['metrics']['APr'] == pytest.approx(
        1
    )


def test_adjustment_without_a_detector(elsewhere):
    (snippet,) = fences(ROOT / 'docs/methods/index.md', 'python')
    names = {}
    exec(snippet, names)
    assert names['adjustment'].scale[:2].tolist() == pytest.approx([0.6931472, 0.6931472])


@pytest.mark.parametrize(
    ('snippet', 'hooks', 'dataset'),
    list(
        zip(
            fences(ROOT / 'docs/guides/configs.md', 'python'),
            ([], ['BackboneHook']),
            ('RepeatFactorDataset', 'LongTailLVISDataset'),
            strict=True,
        )
    ),
    ids=['base', 'hook'],
)
def test_configs_add_to_their_bases(snippet, hooks, dataset, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(snippet)
    cfg = Config.fromfile(path)
    assert [hook.type for hook in cfg.custom_hooks] == [
        'ClassFrequencyHook',
        'EpochSeedHook',
        'ReportHook',
        *hooks,
    ]
    assert cfg.train_dataloader.dataset.type == dataset


def test_the_table_of_configs_adds_to_lists(tmp_path):
    page = (ROOT / 'docs/guides/configs.md').read_text()
    (hook,) = re.findall(r'`(\[dict\(h, .+?_base_\.custom_hooks\])`', page)
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = ['lt_det::lvis/mask_rcnn_r50_iif.py']\ncustom_hooks = {hook}\n")
    cfg = Config.fromfile(path)
    assert [h.get('empty_classes') for h in cfg.custom_hooks] == ['warn', None, None]


def rules(value: object) -> list:
    """Values of the key ``adjustment`` in a config."""
    if not isinstance(value, dict):
        return []
    if 'adjustment' in value:
        return [value['adjustment']]
    return [rule for inner in value.values() for rule in rules(inner)]


def written() -> list[tuple[str, object]]:
    found = []
    for page in PAGES:
        for snippet in fences(page, 'python'):
            if '_base_' in snippet or 'import' in re.sub(r'custom_imports', '', snippet).split():
                continue
            names = {}
            exec(snippet, {'__builtins__': {'dict': dict}}, names)
            found += [(page.name, rule) for rule in rules(names)]
        for code in re.findall(r'`adjustment=(dict\(.+?\))`', page.read_text()):
            found.append((page.name, eval(code, {'__builtins__': {'dict': dict}})))
    return found


@pytest.mark.parametrize(('page', 'rule'), written(), ids=lambda value: str(value)[:60])
def test_rules_in_snippets_can_be_built(page, rule):
    adjustment = build_adjustment(rule, FREQUENCY, background=True)
    assert len(adjustment.scale) == 4


def test_every_page_of_a_rule_shows_it():
    shown = {str(rule) for _, rule in written()}
    for name in ('IIF', 'PriorShift', 'NorCal', 'FRACAL', 'TauNorm', 'Temperature'):
        assert any(f"'{name}'" in rule for rule in shown), name
