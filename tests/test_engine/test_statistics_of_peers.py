"""What the peers' rules need from the training set reaches them through the real runner."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from lt_det.adjustments.box_dimension import box_dimension_of
from lt_det.engine import ClassFrequencyHook
from lt_det.errors import BadInputError

ROOT = Path(__file__).parents[2]


class Stopped(Exception):
    """Raised after the first iteration."""


@pytest.fixture
def runner(tiny_glyphs, tmp_path, monkeypatch):
    """Build a runner of the demo config on tiny glyphs; training it takes one iteration."""

    def one_iteration(self):
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.run_iter(0, next(iter(self.dataloader)))
        raise Stopped

    monkeypatch.setattr('mmengine.runner.EpochBasedTrainLoop.run_epoch', one_iteration)

    def build(**options) -> Runner:
        cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_softmax_demo.py')
        root = f'{tiny_glyphs}/'
        cfg.merge_from_dict(
            {
                'work_dir': str(tmp_path / 'work'),
                'load_from': None,
                'experiment_name': f'test{np.random.default_rng().integers(2**60)}',
                'train_dataloader.dataset.data_root': root,
                'train_dataloader.num_workers': 0,
                'val_dataloader.dataset.data_root': root,
                'test_dataloader.dataset.data_root': root,
                'val_evaluator.ann_file': root + 'annotations/glyphs_val.json',
                'test_evaluator.ann_file': root + 'annotations/glyphs_val.json',
                'model.roi_head.bbox_head.num_classes': 8,
                'model.roi_head.mask_head.num_classes': 8,
                **options,
            }
        )
        built = Runner.from_cfg(cfg)
        MMLogger.get_current_instance().setLevel(logging.WARNING)
        return built

    return build


def federated(lists: bool = True) -> dict:
    cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_softmax_demo.py')
    keys = ['img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor']
    if lists:
        keys += ['neg_category_ids', 'not_exhaustive_category_ids']
    pack = dict(type='PackDetInputs', meta_keys=keys)
    loss = dict(type='FederatedLoss', num_classes=8, num_sampled=2)
    return {
        'model.roi_head.bbox_head.loss_cls': dict(loss, _delete_=True),
        'train_dataloader.dataset.pipeline': [*cfg.train_pipeline[:-1], pack],
        'custom_hooks': [*cfg.custom_hooks, dict(type='FederatedLabelsHook')],
    }


def test_lists_of_the_batch_reach_the_federated_loss(runner, tiny_glyphs, monkeypatch):
    trainer = runner(**federated())
    seen = []
    loss = trainer.model.roi_head.bbox_head.loss_cls
    step = trainer.model.train_step
    monkeypatch.setattr(
        trainer.model,
        'train_step',
        lambda data, **kwargs: seen.extend(data['data_samples']) or step(data, **kwargs),
    )
    with pytest.raises(Stopped):
        trainer.train()
    assert loss.has_frequency
    content = json.loads((tiny_glyphs / 'annotations' / 'glyphs_train.json').read_text())
    images = {image['id']: image for image in content['images']}
    for table, key in zip(loss._lists, ('neg_category_ids', 'not_exhaustive_category_ids')):
        assert table.shape == (len(seen), 8)
        for row, sample in zip(table, seen):
            expected = sorted(category - 1 for category in images[sample.img_id][key])
            assert row.nonzero().flatten().tolist() == expected
    assert len(loss._image_of_roi) and loss._image_of_roi.max() == len(seen) - 1


def test_federated_hook_names_what_is_missing(runner):
    with pytest.raises(BadInputError, match="PackDetInputs lacks 'neg_category_ids'"):
        runner(**federated(lists=False)).train()
    options = federated()
    del options['model.roi_head.bbox_head.loss_cls']
    with pytest.raises(BadInputError, match=r"expected bbox_head\.loss_cls\.type='FederatedLoss'"):
        runner(**options).train()


@pytest.mark.parametrize('from_file', [False, True])
def test_box_dimensions_of_the_training_set_reach_fracal(runner, tiny_glyphs, from_file):
    options = {'model.roi_head.bbox_head.adjustment': dict(type='FRACAL')}
    if from_file:
        options['custom_hooks.0.ann_file'] = str(tiny_glyphs / 'annotations/glyphs_train.json')
    tester = runner(**options)
    (hook,) = (hook for hook in tester.hooks if isinstance(hook, ClassFrequencyHook))
    tester.test_evaluator  # noqa: B018  (builds the test loop, as Runner.test does)
    hook.before_test(tester)
    rule = tester.model.roi_head.bbox_head.adjustment
    expected = box_dimension_of(tester.build_dataloader(tester.cfg.train_dataloader).dataset)
    np.testing.assert_allclose(rule.dimension, expected)
    assert expected.max() > 1.3
    shift = np.log10(120 / rule.image_count.numpy()) - np.log10(8) - 2 * np.log(expected)
    np.testing.assert_allclose(rule.shift[:8], shift, rtol=1e-5)
    assert torch.isfinite(rule.eval()(torch.zeros(1, 9))).all()
