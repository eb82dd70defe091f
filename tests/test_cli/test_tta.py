"""What --tta makes of a config."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from lt_det.cli.tta import use_tta
from lt_det.errors import BadInputError

LOAD, FLIP = dict(type='LoadImageFromFile'), dict(type='RandomFlip', prob=1.0)


def config(dataset: dict, **more) -> Config:
    return Config(dict(model=dict(type='M'), test_dataloader=dict(dataset=dataset), **more))


@pytest.mark.parametrize('wrap', ['', 'dataset', 'datasets'])
def test_every_data_set_shows_both_views(wrap):
    plain = [
        dict(type='D', pipeline=[LOAD, dict(type='PackDetInputs', meta_keys=('img_id', 'flip'))]),
        dict(type='D', pipeline=[LOAD, dict(type='mmdet.PackDetInputs')]),
    ]
    dataset = plain[0] if not wrap else dict(type='W', dataset=plain[0])
    if wrap == 'datasets':
        dataset = dict(type='ConcatDataset', datasets=[dataset, plain[1]])
    cfg = config(dataset)
    use_tta(cfg)
    found = cfg.test_dataloader.dataset
    parts = found.datasets if wrap == 'datasets' else [found]
    for part, packed in zip(parts, (dict(meta_keys=('img_id', 'flip', 'flip_direction')), {})):
        load, views = part.get('dataset', part).pipeline
        assert load == LOAD
        flips, (pack,) = views['transforms']
        assert [flip['prob'] for flip in flips] == [1.0, 0.0]
        assert {k: tuple(v) for k, v in pack.items() if k == 'meta_keys'} == packed
    assert cfg.model.type == 'InstanceTTAModel' and cfg.model.module == dict(type='M')
    assert cfg.model.tta_cfg.max_per_img == 300


def test_classifiers_average_and_configs_have_their_own():
    dataset = dict(type='D', pipeline=[LOAD, dict(type='PackInputs')])
    cfg = config(dataset, default_scope='mmpretrain')
    use_tta(cfg)
    assert cfg.model.type == 'AverageClsScoreTTA'
    own = dict(type='DetTTAModel', tta_cfg=dict(max_per_img=5))
    cfg = config(dataset, tta_model=own, tta_pipeline=[LOAD, FLIP])
    use_tta(cfg)
    # it refuses masks; ours gives the same boxes
    assert (cfg.model.type, cfg.model.tta_cfg.max_per_img) == ('InstanceTTAModel', 5)
    assert cfg.test_dataloader.dataset.pipeline == [LOAD, FLIP]


def test_pipelines_without_packing():
    with pytest.raises(BadInputError, match='last step .* is RandomFlip, expected PackDetInputs'):
        use_tta(config(dict(type='D', pipeline=[LOAD, FLIP])))
    with pytest.raises(BadInputError, match='no test_dataloader'):
        use_tta(Config(dict(model=dict(type='M'))))
