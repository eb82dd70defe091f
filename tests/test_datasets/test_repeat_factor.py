"""The indices of MMEngine's ClassBalancedDataset, on several data sets."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmdet.datasets import LVISV1Dataset
from mmdet.engine.hooks import PipelineSwitchHook
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset
from mmengine.registry import DefaultScope

from lt_det.datasets import LongTailLVISDataset, RepeatFactorDataset
from lt_det.frequency import ClassFrequency

from ..conftest import ROOT
from ..generated_lvis import lvis_content


def lvis(path, **kwargs) -> LongTailLVISDataset:
    return LongTailLVISDataset(ann_file=str(path), pipeline=[], check_images=False, **kwargs)


def assert_same_indices(dataset: BaseDataset, oversample_thr: float, stock=None) -> None:
    ours = RepeatFactorDataset(dataset, oversample_thr)
    theirs = ClassBalancedDataset(dataset if stock is None else stock, oversample_thr)
    assert len(ours) == len(theirs)
    assert ours.repeat_indices == theirs.repeat_indices


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('oversample_thr', [1e-3, 0.05, 0.3, 1.0])
def test_generated_annotations(tmp_path, seed, oversample_thr):
    path = tmp_path / 'generated.json'
    content = lvis_content(num_images=30 * seed + 5, seed=seed)
    content['categories'].sort(key=lambda category: category['id'])
    path.write_text(json.dumps(content))
    everything = lvis(path)
    names = everything.metainfo['classes']
    for kwargs in (
        {},
        dict(filter_cfg=dict(filter_empty_gt=True, min_size=100)),
        dict(indices=[4, 4, 1, 0]),
        dict(metainfo=dict(classes=names[2:5])),
    ):
        assert_same_indices(lvis(path, **kwargs), oversample_thr)
    stock = LVISV1Dataset(
        ann_file=str(path), data_prefix=dict(img=''), pipeline=[], metainfo=dict(classes=names)
    )
    assert_same_indices(everything, oversample_thr, stock)
    assert_same_indices(stock, oversample_thr)  # without all_cat_ids


@pytest.mark.parametrize('oversample_thr', [1e-3, 0.02, 0.5])
def test_lvis_annotations(lvis_file, oversample_thr):
    assert_same_indices(lvis(lvis_file), oversample_thr)


def test_glyphs(tiny_glyphs):
    dataset = lvis(tiny_glyphs / 'annotations' / 'glyphs_train.json', filter_cfg=dict(min_size=32))
    assert_same_indices(dataset, 0.5)
    repeated = RepeatFactorDataset(dataset, 0.5)
    assert len(repeated) > len(dataset)
    assert ClassFrequency.from_dataset(repeated) == dataset.class_frequency


class Labels(BaseDataset):
    """Images given by their labels."""

    METAINFO = dict(classes=tuple('abcdef'))

    def load_data_list(self) -> list[dict]:
        return [dict(labels=labels) for labels in self.ann_file]

    def _join_prefix(self) -> None:
        pass

    def get_cat_ids(self, idx: int) -> list[int]:
        return self.get_data_info(idx)['labels']


def test_images_without_labels_and_labels_in_every_image():
    rng = np.random.default_rng(0)
    many = [rng.integers(0, 6, rng.integers(0, 4)).tolist() for _ in range(40)]
    for labels in ([[]], [[], []], [[5]], [[0, 0, 1], [], [0]], many):
        for oversample_thr in (0.1, 1.0, 7.0):
            assert_same_indices(Labels(labels), oversample_thr)


def test_config_uses_it(tmp_path):
    path = tmp_path / 'generated.json'
    path.write_text(json.dumps(lvis_content()))
    config = Config.fromfile(ROOT / 'configs/lvis/mask_rcnn_r50_softmax_rfs.py')
    config = config.train_dataloader.dataset
    config.dataset.update(ann_file=str(path), data_root='', check_images=False, pipeline=[])
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config)
    assert isinstance(dataset, RepeatFactorDataset)
    assert len(dataset) > 0


def test_a_pipeline_that_a_hook_switches_is_that_of_the_data_inside():
    inside = [Labels([[0], [1, 1]], pipeline=[dict(type='RandomFlip', prob=0.5)]) for _ in range(2)]
    repeated = RepeatFactorDataset(ConcatDataset(inside), 0.5)
    assert repeated.pipeline is inside[0].pipeline
    loader = SimpleNamespace(dataset=repeated, persistent_workers=False)
    hook = PipelineSwitchHook(switch_epoch=3, switch_pipeline=[])
    hook.before_train_epoch(SimpleNamespace(epoch=3, train_dataloader=loader, logger=logging))
    assert [len(dataset.pipeline.transforms) for dataset in (*inside, repeated)] == [0, 0, 0]
