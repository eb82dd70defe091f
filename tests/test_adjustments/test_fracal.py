"""FRACAL and the box-counting dimension against their definitions."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from torch.utils.data import Subset

from lt_det.adjustments import build_adjustment
from lt_det.adjustments.box_dimension import box_counting_dimension, box_dimension_of
from lt_det.datasets import LongTailLVISDataset
from lt_det.errors import BadInputError, DataWarning
from lt_det.frequency import ClassFrequency

FREQUENCY = ClassFrequency([40, 10, 1], [90, 10, 2], 100)
DIMENSION = [1.8, 1.4, 1.0]


def naive_dimension(centres: np.ndarray, grids: int) -> float:
    n = len(centres)
    if n < 4:
        return 1.0
    points = []
    for g in range(1, grids + 1):
        if g * g <= n:
            cells = {(min(int(x * g), g - 1), min(int(y * g), g - 1)) for x, y in centres}
            points.append((math.log(g), math.log(len(cells))))
    return max(1.0, np.polyfit(*zip(*points), 1)[0])


@pytest.mark.parametrize('grids', [1 << 6, 3])
def test_dimension_equals_the_definition(grids):
    rng = np.random.default_rng(0)
    counts = [0, 1, 3, 4, 5, 30, 400]
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = rng.random((len(labels), 2))
    centres[labels == 5, 1] = 0.5
    centres[-1] = 1.0  # on the border
    order = rng.permutation(len(labels))
    found = box_counting_dimension(centres[order], labels[order], len(counts), grids)
    expected = [naive_dimension(centres[labels == c], grids) for c in range(len(counts))]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_dimension_of_known_shapes():
    rng = np.random.default_rng(0)
    n = 20000
    square = rng.random((n, 2))
    line = np.stack([rng.random(n), np.full(n, 0.3)], 1)
    point = np.full((n, 2), 0.7)
    found = box_counting_dimension(
        np.concatenate([square, line, point]), np.repeat(np.arange(3), n), 4
    )
    # as the published values of frequent classes of LVIS: below 2, since borders are rarely hit
    np.testing.assert_allclose(found, [2, 1, 1, 1], atol=0.02)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('lam', [0.0, 2.0])
def test_probabilities_equal_the_two_steps_of_the_method(dtype, lam):
    rule = dict(type='FRACAL', lam=lam, dimension=DIMENSION)
    adjustment = build_adjustment(rule, FREQUENCY).eval()
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=dtype)
    shifted = logits.clone()
    for c, n in enumerate([40, 10, 1]):
        shifted[:, c] += math.log10(100 / n) - math.log10(3)
    expected = shifted.softmax(-1)
    for c, phi in enumerate(DIMENSION):
        expected[:, c] /= phi**lam
    expected /= expected.sum(-1, keepdim=True)
    torch.testing.assert_close(adjustment(logits).softmax(-1), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(adjustment.train()(logits), logits)


def test_it_refuses_to_run_without_dimensions_and_takes_them_from_a_checkpoint():
    rule = build_adjustment(dict(type='FRACAL'), FREQUENCY).eval()
    with pytest.raises(RuntimeError, match='ClassFrequencyHook'):
        rule(torch.zeros(1, 4))
    rule.set_box_dimension(np.array(DIMENSION))
    loaded = build_adjustment(dict(type='FRACAL'), num_classes=3).eval()
    loaded.load_state_dict(rule.state_dict())
    assert torch.equal(loaded(torch.zeros(1, 4)), rule(torch.zeros(1, 4)))
    assert loaded.shift[0] != 0
    # that of another rule has the counts alone
    other = build_adjustment(dict(type='IIF'), FREQUENCY)
    fresh = build_adjustment(dict(type='FRACAL'), num_classes=3).eval()
    with pytest.warns(UserWarning, match='another rule'):
        fresh.load_state_dict(other.state_dict(), strict=False)
    assert not fresh.has_frequency
    fresh.set_box_dimension(np.array(DIMENSION))
    assert torch.equal(fresh.shift, rule.shift)


def test_dimensions_and_strength_of_the_config_are_in_force_after_a_checkpoint():
    saved = build_adjustment(dict(type='FRACAL', dimension=DIMENSION, lam=1.0), FREQUENCY)
    rule = dict(type='FRACAL', dimension=[1.1, 1.2, 1.3], lam=3.0)
    loaded = build_adjustment(rule, num_classes=3)
    with pytest.warns(UserWarning, match='another rule'):
        loaded.load_state_dict(saved.state_dict())
    expected = build_adjustment(rule, FREQUENCY)
    assert torch.equal(loaded.shift, expected.shift)
    assert loaded.dimension.tolist() == [1.1, 1.2, 1.3]


def test_dimensions_of_a_data_set(tiny_glyphs):
    dataset = LongTailLVISDataset(
        ann_file=str(tiny_glyphs / 'annotations' / 'glyphs_train.json'),
        data_prefix=dict(img=str(tiny_glyphs)),
        pipeline=[],
    )
    centres = [[] for _ in range(8)]
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        for instance in item['instances']:
            x1, y1, x2, y2 = instance['bbox']
            centre = (x1 + x2) / 2 / item['width'], (y1 + y2) / 2 / item['height']
            centres[instance['bbox_label']].append(centre)
    found = box_dimension_of(dataset)
    np.testing.assert_allclose(found, [naive_dimension(np.array(c), 64) for c in centres])
    assert found.max() > 1.3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(lam=-1), 'lam is -1, expected a finite number >= 0'),
        (dict(count='box'), "count is 'box'"),
        (dict(dimension=[1.0, 2.0]), 'expected 3 finite numbers > 0'),
        (dict(dimension=[1.0, 2.0, 0.0]), 'dimension is .*0.*, expected 3 finite numbers > 0'),
        (dict(dimension=[1.0, 2.0, math.inf]), 'dimension is .*inf.*, expected 3 finite numbers'),
        (dict(dimension=[1.0, 2.0, math.nan]), 'dimension is .*nan.*, expected 3 finite numbers'),
        (dict(dimension=['a', 2.0, 1.0]), "dimension is .*'a'.*, expected 3 finite numbers"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(BadInputError, match=message):
        build_adjustment(dict(type='FRACAL', **arguments), num_classes=3)


def test_dimensions_of_a_data_set_without_columns(tiny_glyphs):
    dataset = LongTailLVISDataset(
        ann_file=str(tiny_glyphs / 'annotations' / 'glyphs_train.json'),
        data_prefix=dict(img=str(tiny_glyphs)),
        pipeline=[],
    )

    class Other:
        """What any data set of MMDetection has."""

        metainfo = dataset.metainfo
        get_data_info = dataset.get_data_info

        def __len__(self) -> int:
            return len(dataset)

    np.testing.assert_allclose(box_dimension_of(Other()), box_dimension_of(dataset))


@pytest.mark.parametrize('kind', [LongTailLVISDataset, CocoDataset])
def test_what_training_ignores_has_no_dimension(tmp_path, kind):
    rng = np.random.default_rng(0)
    annotations = [
        dict(id=i, image_id=0, category_id=label, bbox=[x, y, 9, 9], area=81, iscrowd=label)
        for i, (label, x, y) in enumerate(zip([0, 1] * 64, *rng.uniform(0, 90, (2, 128)).tolist()))
    ]
    content = dict(
        images=[dict(id=0, width=100, height=100, file_name='a.jpg')],
        annotations=annotations,
        categories=[dict(id=label, name=name) for label, name in enumerate('ab')],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DataWarning)
        dataset = kind(
            ann_file=str(tmp_path / 'a.json'),
            data_prefix=dict(img=''),
            metainfo=dict(classes=('a', 'b')),
            pipeline=[],
            **(dict(check_images=False) if kind is LongTailLVISDataset else {}),
        )
    assert ClassFrequency.from_dataset(dataset).instance_count.tolist() == [64, 0]
    for shown in (dataset, Subset(dataset, [0, 0])):
        dimension = box_dimension_of(shown)
        assert dimension[0] > 1.3 and dimension[1] == 1
