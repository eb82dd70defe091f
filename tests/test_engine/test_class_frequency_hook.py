"""What a user can get wrong is refused before the first iteration, through the real runner."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from lt_det.adjustments import build_adjustment
from lt_det.engine import ClassFrequencyHook
from lt_det.errors import BadInputError, MissingFileError
from lt_det.frequency import ClassFrequency

ROOT = Path(__file__).parents[2]


class Started(Exception):
    """Raised in place of the first iteration."""


@pytest.fixture
def runner(tiny_glyphs, tmp_path, monkeypatch):
    """Build a runner of the demo config on tiny glyphs; training it stops where it would start."""
    monkeypatch.setattr(
        'mmengine.runner.EpochBasedTrainLoop.run_epoch', lambda self: (_ for _ in ()).throw(Started)
    )

    def build(**options) -> Runner:
        cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'mask_rcnn_r18_iif_demo.py')
        root = f'{tiny_glyphs}/'
        cfg.merge_from_dict(
            {
                'work_dir': str(tmp_path / 'work'),
                'load_from': None,
                'model.roi_head.bbox_head.adjustment.link': 'raw',
                'experiment_name': f'test{np.random.default_rng().integers(2**60)}',
                'train_dataloader.dataset.data_root': root,
                'val_dataloader.dataset.data_root': root,
                'test_dataloader.dataset.data_root': root,
                'val_evaluator.ann_file': root + 'annotations/glyphs_val.json',
                'test_evaluator.ann_file': root + 'annotations/glyphs_val.json',
                'model.roi_head.bbox_head.num_classes': 8,
                'model.roi_head.mask_head.num_classes': 8,
                'model.roi_head.mask_head.class_agnostic': False,
                **options,
            }
        )
        built = Runner.from_cfg(cfg)
        MMLogger.get_current_instance().setLevel(logging.WARNING)
        return built

    return build


def edited(root: Path, folder: Path, edit) -> str:
    content = json.loads((root / 'annotations' / 'glyphs_train.json').read_text())
    edit(content)
    path = folder / 'edited.json'
    path.write_text(json.dumps(content))
    return str(path)


def test_statistics_of_the_training_set_reach_the_head_and_the_checkpoint(runner, tiny_glyphs):
    trainer = runner()
    with pytest.raises(Started):
        trainer.train()
    expected = ClassFrequency.from_annotation_file(tiny_glyphs / 'annotations/glyphs_train.json')
    adjustment = trainer.model.roi_head.bbox_head.adjustment
    assert adjustment.frequency == expected
    weight = np.log(expected.num_images / expected.image_count)
    np.testing.assert_allclose(adjustment.scale[:-1], weight, rtol=1e-6)
    state = trainer.model.state_dict()
    assert state['roi_head.bbox_head.adjustment.image_count'].tolist() == (
        expected.image_count.tolist()
    )


@pytest.mark.parametrize('head', ['bbox_head', 'mask_head'])
def test_number_of_classes(runner, head):
    trainer = runner(**{f'model.roi_head.{head}.num_classes': 5})
    message = rf'model\.roi_head\.{head}.*num_classes.* 5, the training set has 8 classes'
    with pytest.raises(BadInputError, match=message):
        trainer.train()


def test_all_parts_with_other_numbers_of_classes_are_named(runner):
    options = {f'model.roi_head.{head}.num_classes': 5 for head in ('bbox_head', 'mask_head')}
    message = r'bbox_head\.num_classes is 5 and .*mask_head\.num_classes is 5.* mod.*=8 mod.*=8$'
    with pytest.raises(BadInputError, match=message):
        runner(**options).train()


@pytest.fixture
def classifier(tiny_crops, tmp_path, monkeypatch):
    """Build a runner of a classifier on tiny crops; training it stops where it would start."""
    monkeypatch.setattr(
        'mmengine.runner.EpochBasedTrainLoop.run_epoch', lambda self: (_ for _ in ()).throw(Started)
    )

    def build(**options) -> Runner:
        cfg = Config.fromfile(ROOT / 'configs' / 'glyphs' / 'crops_iif.py')
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            cfg[loader].dataset.update(
                data_root=str(tiny_crops), classes=str(tiny_crops / 'classes.txt')
            )
        cfg.merge_from_dict({'work_dir': str(tmp_path / 'work'), **options})
        cfg.experiment_name = f'test{np.random.default_rng().integers(2**60)}'
        return Runner.from_cfg(cfg)

    return build


@pytest.mark.parametrize(
    ('kind', 'keys'),
    [
        (
            'runner',
            ['model.roi_head.bbox_head.num_classes', 'model.roi_head.mask_head.num_classes'],
        ),
        ('classifier', ['data_preprocessor.num_classes', 'model.head.num_classes']),
    ],
)
def test_the_options_that_are_advised_mend_it(kind, keys, request):
    build = request.getfixturevalue(kind)
    with pytest.raises(BadInputError, match='--cfg-options') as refused:
        build(**dict.fromkeys(keys, 5)).train()
    words = str(refused.value).partition('--cfg-options ')[2].split()
    options = {key: int(value) for key, value in (word.split('=') for word in words)}
    assert sorted(options) == keys
    trainer = build(**options)
    assert trainer.model.data_preprocessor.mean.numel() == 3
    with pytest.raises(Started):
        trainer.train()


def test_missing_annotation_file(runner):
    trainer = runner(**{'train_dataloader.dataset.ann_file': 'annotations/gone.json'})
    with pytest.raises(MissingFileError, match=r'gone\.json does not exist'):
        trainer.train()


def test_classes_without_images(runner, tiny_glyphs, tmp_path):
    def remove(content):
        content['annotations'] = [a for a in content['annotations'] if a['category_id'] != 3]

    path = edited(tiny_glyphs, tmp_path, remove)
    with pytest.raises(
        BadInputError, match=r'1 of 8 .* no training image.*folders.*empty_classes=warn\)'
    ):
        runner(**{'train_dataloader.dataset.ann_file': path}).train()
    options = {
        'train_dataloader.dataset.ann_file': path,
        'custom_hooks.0.empty_classes': 'warn',
    }
    with pytest.warns(UserWarning, match='have no training sample'), pytest.raises(Started):
        runner(**options).train()


def test_other_classes_in_validation(runner, tiny_glyphs, tmp_path):
    path = edited(tiny_glyphs, tmp_path, lambda c: c['categories'][2].update(name='other'))
    with pytest.raises(BadInputError, match="class 2 is 'other' in the training set and"):
        runner(**{'train_dataloader.dataset.ann_file': path}).train()


def test_checkpoint_of_another_data_set(runner, tiny_glyphs, tmp_path):
    trainer = runner()
    with pytest.raises(Started):
        trainer.train()
    checkpoint = tmp_path / 'a.pth'
    torch.save(dict(state_dict=trainer.model.state_dict(), meta={}), checkpoint)
    with pytest.raises(Started):
        runner(load_from=str(checkpoint)).train()

    # one annotation less: one image less with that class
    path = edited(tiny_glyphs, tmp_path, lambda c: c['annotations'].pop(0))
    options = {'load_from': str(checkpoint), 'train_dataloader.dataset.ann_file': path}
    with pytest.raises(BadInputError, match=r'another data set .* \d+ against \d+ .*replace=True'):
        runner(**options).train()
    replaced = runner(**options, **{'custom_hooks.0.replace': True})
    with pytest.raises(Started):
        replaced.train()
    adjustment = replaced.model.roi_head.bbox_head.adjustment
    assert adjustment.frequency == ClassFrequency.from_annotation_file(path)


def test_testing_a_checkpoint_without_statistics_reads_the_training_set(runner, tmp_path):
    source = runner()
    state = {k: v for k, v in source.model.state_dict().items() if 'adjustment' not in k}
    checkpoint = tmp_path / 'stock.pth'
    torch.save(dict(state_dict=state, meta={}), checkpoint)
    tester = runner(load_from=str(checkpoint), **{'test_dataloader.dataset.indices': 2})
    tester.test()
    assert tester.model.roi_head.bbox_head.adjustment.has_frequency
    broken = runner(
        load_from=str(checkpoint), **{'train_dataloader.dataset.ann_file': 'annotations/gone.json'}
    )
    with pytest.raises(MissingFileError, match=r'carries no class statistics.*gone\.json'):
        broken.test()


@pytest.mark.parametrize('trains', [True, False])
def test_a_list_without_images_of_the_last_class(tmp_path, trains):
    """Data set and model tell how many classes there are."""
    path = tmp_path / 'train.txt'
    path.write_text('a 0\nb 0\nc 1\n')

    class Plain(list):
        metainfo = dict(classes=('a', 'b', 'c'))

    rule = build_adjustment(dict(type='IIF', link='smooth'), num_classes=3)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=Plain('abc'))) if trains else None
    runner = SimpleNamespace(
        model=torch.nn.ModuleList([rule]),
        cfg={},
        hooks=[],
        _train_loop=loop,
        _val_loop=None,
        logger=logging.getLogger('none'),
        test_evaluator=SimpleNamespace(metrics=[]),
        _test_loop=None,
    )
    hook = ClassFrequencyHook(ann_file=str(path), empty_classes='warn')
    hook.before_run(runner)
    hook.before_test(runner)
    assert rule.image_count.tolist() == [2, 1, 0]


@pytest.mark.parametrize('wants', [True, False])
def test_groups_of_a_stock_detector_come_from_its_training_set(tiny_glyphs, tmp_path, wants):
    init_default_scope('mmdet')
    ann_file = str(tiny_glyphs / 'annotations/glyphs_train.json')
    names = [one['name'] for one in json.loads(Path(ann_file).read_text())['categories']]
    dataset = dict(type='CocoDataset', ann_file=ann_file, metainfo=dict(classes=names))
    dataset.update(data_prefix=dict(img=''), pipeline=[])
    said, found = [], []
    metric = SimpleNamespace(wants_frequency=wants, use_frequency=found.append)
    runner = SimpleNamespace(
        model=torch.nn.Linear(2, 2),
        cfg=Config(dict(train_dataloader=dict(dataset=dataset))),
        test_evaluator=SimpleNamespace(metrics=[metric]),
        logger=SimpleNamespace(warning=said.append),
        hooks=[],
    )
    ClassFrequencyHook().before_test(runner)
    assert found == ([ClassFrequency.from_annotation_file(ann_file)] if wants else [])
    found.clear()
    runner.cfg.train_dataloader.dataset.ann_file = str(tmp_path / 'nowhere.json')
    ClassFrequencyHook().before_test(runner)
    runner.cfg.train_dataloader = None
    ClassFrequencyHook().before_test(runner)
    assert found == [] and len(said) == 2 * wants
    assert all(line.startswith('no APr, APc, APf: the training set cannot be') for line in said)


def test_an_average_of_the_model_gets_statistics_too():
    """EMAHook(update_buffers=True) puts the buffers of its average in the place of the model's."""

    def adjusted() -> torch.nn.Module:
        return build_adjustment(dict(type='NorCal', gamma=1.0), num_classes=3, num_extra=1)

    model = torch.nn.ModuleDict(dict(rule=adjusted()))
    average = SimpleNamespace(module=torch.nn.ModuleDict(dict(rule=adjusted())))
    runner = SimpleNamespace(
        model=model,
        cfg=Config(dict(train_dataloader=dict(dataset=dict(type='CocoDataset')))),
        test_evaluator=SimpleNamespace(metrics=[]),
        _test_loop=None,
        hooks=[SimpleNamespace(), SimpleNamespace(ema_model=average)],
    )
    hook = ClassFrequencyHook()
    hook._read_training = lambda runner: (None, ClassFrequency([8, 2, 1]))
    hook.before_test(runner)
    assert model['rule'].has_frequency
    assert torch.equal(average.module['rule'].shift, model['rule'].shift)
    assert model['rule'].shift[0] < 0


def test_unknown_adjustment(runner):
    with pytest.raises(BadInputError, match="'IFF' does not exist; there are .*IIF, .*Prior"):
        runner(**{'model.roi_head.bbox_head.adjustment.type': 'IFF'})


def test_bad_option():
    from lt_det.engine import ClassFrequencyHook

    with pytest.raises(BadInputError, match="empty_classes is 'no', expected 'error' or 'warn'"):
        ClassFrequencyHook(empty_classes='no')


@pytest.mark.parametrize('label', [-1, 2])
def test_a_label_outside_the_classes_names_its_image(label):
    hook = ClassFrequencyHook()
    hook.training_frequency = ClassFrequency([3, 4])
    sample = DetDataSample(metainfo=dict(img_path='a/b.jpg'))
    sample.gt_instances = InstanceData(labels=torch.tensor([1, 0]))
    hook.before_train_iter(None, 0, dict(data_samples=[sample]))
    sample.gt_instances.labels[1] = label
    with pytest.raises(BadInputError, match=f'a/b.jpg: label {label}, but .* has 2 classes'):
        hook.before_train_iter(None, 0, dict(data_samples=[sample]))


def test_a_schedule_that_nothing_drives_is_refused(runner):
    """Deferred re-weighting and FASA never began where the list of hooks had been replaced."""
    head = {'model.roi_head.bbox_head.type': 'FASABBoxHead', 'model.roi_head.bbox_head.fasa': {}}
    with pytest.raises(BadInputError, match=r'no ModuleEpochHook.*bbox_head\.fasa \(FASA\)'):
        runner(**head).train()
    hooks = [dict(type='ClassFrequencyHook'), dict(type='ModuleEpochHook')]
    with pytest.raises(Started):
        runner(custom_hooks=hooks, **head).train()
