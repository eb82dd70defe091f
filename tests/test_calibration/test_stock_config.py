"""Every config of the project as a stock config, or refused with a reason."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lt_det.calibration import stock_model
from lt_det.calibration.stock_config import _Converter, models_of, palette, stock_config
from lt_det.errors import BadInputError, DataWarning

CONFIGS = Path(__file__).parents[2] / 'configs'


def choice(kind: str, classes: int) -> SimpleNamespace:
    names = [f'class {n}' for n in range(classes)]
    return SimpleNamespace(kind=kind, classes=names, num_classes=classes)


def types(node) -> set[str]:
    if isinstance(node, (list, tuple)):
        return set().union(*map(types, node))
    if not isinstance(node, dict):
        return set()
    own = {node['type']} if isinstance(node.get('type'), str) else set()
    return own.union(*map(types, node.values()))


def own_types() -> set[str]:
    """Names that only this package registers."""
    import mmdet.registry
    import mmengine.registry
    import mmpretrain.registry

    names = set()
    for package in (mmdet.registry, mmpretrain.registry, mmengine.registry):
        for registry in vars(package).values():
            if isinstance(registry, mmengine.registry.Registry):
                registry.get('nothing of this name')  # which imports the components
                names |= {
                    name
                    for name, kind in registry.module_dict.items()
                    if kind.__module__.startswith('lt_det')
                }
    return names - {'NormedLinear', 'NormedConv2d'}


REFUSED = {
    'glyphs/crops_camc.py': "model.head.type is 'CAMCClsHead', which classifies features that it",
    'glyphs/ballad_r14.py': "model.type is 'BALLAD'",
    'glyphs/words_softmax.py': 'Cross',
    'cifar_lt/cifar100_resnet32_cosine.py': "model.head.fc is a 'CosineLinear'",
    'lvis/mask_rcnn_r50_eqlv2.py': 'whose scores are products with that of an object',
    'lvis/mask_rcnn_r50_gol.py': "'GumbelLoss', which computes what no part of MMDetection",
    'lvis/mask_rcnn_r50_camc.py': "'CAMCalibratedRoIHead', which calibrates the features that are",
}
NEEDED = {
    'glyphs/crops_iif.py': 'LongTailResNet',
    'cifar_lt/cifar100_resnet32_softmax.py': 'CIFARResNet',
}
EQUAL = [
    'lvis/htc_r50_iif.py',
    'lvis/mask_rcnn_r50_seesaw_2x.py',
    'lvis/mask_rcnn_r50_federated.py',
    'glyphs/mask_rcnn_r18_iif_demo.py',
    'glyphs/dino_r18_prior_shift_demo.py',
    'glyphs/rtmdet_ins_r18_prior_shift_demo.py',
    'custom/mask2former_r50.py',
    'imagenet_lt/resnext50_softmax.py',
    'imagenet_lt/resnet50_smcl.py',
]


@pytest.mark.parametrize('name', [*EQUAL, *REFUSED, *NEEDED])
def test_configs_of_the_project(name):
    config = Config.fromfile(CONFIGS / name)
    kind = 'classifier' if config.get('default_scope') == 'mmpretrain' else 'detector'
    init_default_scope(config.default_scope)
    before = config.to_dict()
    if name in REFUSED:
        with pytest.raises(BadInputError, match=REFUSED[name]):
            stock_config(config, choice(kind, 3), {})
        return
    converted, model = stock_config(config, choice(kind, 3), {})
    assert config.to_dict() == before
    own = own_types()
    assert {'LongTail', 'ClassFrequencyHook', 'FederatedLoss', 'VectorizedMaxIoUAssigner'} <= own
    left = {NEEDED[name]} if name in NEEDED else set()
    assert types(converted.to_dict()) & own == left
    assert model.needs == [f"model.backbone.type '{kind}'" for kind in left]
    assert ('custom_imports' in converted) == bool(left)


def convert(kind: str = 'detector', classes: int = 3, **changes) -> Config:
    config = Config(
        dict(
            default_scope='mmdet',
            model=dict(type='RetinaNet', detector='RetinaNet'),
            test_dataloader=dict(dataset=dict(type='CocoDataset', ann_file='a.json')),
            test_evaluator=dict(type='CocoMetric', ann_file='a.json'),
        )
    )
    config.merge_from_dict(changes)
    init_default_scope('mmdet')
    return stock_config(config, choice(kind, classes), {})[0]


def test_stock_parts_stay_as_they_are():
    config = convert(custom_imports=dict(imports=['lt_det', 'mine.networks']))
    assert config.test_dataloader == dict(dataset=dict(type='CocoDataset', ann_file='a.json'))
    assert config.test_evaluator == dict(type='CocoMetric', ann_file='a.json')
    assert config.custom_imports.imports == ['mine.networks']


def test_a_config_of_long_tail_without_its_shortcuts():
    assigner = dict(type='VectorizedMaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4)
    options = dict(topk_nms=False, quick_targets=False, float32_rois=False)
    options['train_cfg'] = dict(assigner=assigner)
    model = convert(model=dict(type='LongTail', detector='RetinaNet', **options)).model
    assert set(model) == {'type', 'train_cfg'} and model.type == 'RetinaNet'
    assert model.train_cfg.assigner == dict(assigner, type='MaxIoUAssigner')


def arguments(kind: type) -> set[str]:
    """Named arguments of a class and of those that it passes others to."""
    names = set()
    for base in kind.__mro__:
        if base.__module__.partition('.')[0] in ('lt_det', 'mmdet', 'mmpretrain', 'mmengine'):
            names |= set(inspect.signature(base.__init__).parameters)
    return names - {'args', 'kwargs'}


@pytest.mark.parametrize('name', stock_model.EQUAL)
def test_no_argument_is_left_that_the_stock_part_does_not_know(name):
    stock, dropped = stock_model.EQUAL[name]
    for scope in ('mmdet', 'mmpretrain'):
        init_default_scope(scope)
        registries = [importlib.import_module(f'{scope}.registry').MODELS, TASK_UTILS]
        kinds = [[registry.get(kind) for kind in (name, stock)] for registry in registries]
        own, other = next((pair for pair in kinds if None not in pair), (None, None))
        if own is not None:
            break
    assert arguments(own) - arguments(other) <= set(dropped)


def test_data_of_ours():
    data = dict(type='LongTailLVISDataset', ann_file='a.json', cache=False, check_images=False)
    config = convert(
        **{'test_dataloader.dataset': data, 'test_evaluator.type': 'LongTailLVISMetric'}
    )
    dataset = config.test_dataloader.dataset
    assert dataset.type == 'CocoDataset' and set(dataset) == {
        'type',
        'ann_file',
        'data_prefix',
        'metainfo',
    }
    assert dataset.metainfo.classes == ['class 0', 'class 1', 'class 2']
    assert len(dataset.metainfo.palette) == 3
    assert config.test_evaluator.type == 'CocoMetric'


def test_federated_files_are_judged_as_such(tiny_glyphs):
    path = tiny_glyphs / 'annotations' / 'glyphs_val.json'
    names = [category['name'] for category in json.loads(path.read_text())['categories']]
    metric = dict(type='LongTailLVISMetric', ann_file=str(path), metric=['bbox', 'boundary'])
    data = dict(type='LongTailLVISDataset', ann_file=str(path))
    config = Config(
        dict(
            model=dict(type='RetinaNet'),
            test_dataloader=dict(dataset=data),
            test_evaluator=metric,
        )
    )
    init_default_scope('mmdet')
    glyphs = SimpleNamespace(kind='detector', classes=names, num_classes=len(names))
    converted, _ = stock_config(config, glyphs, {})
    assert converted.test_evaluator.type == 'LVISMetric'
    assert converted.test_evaluator.metric == ['bbox']
    assert converted.test_dataloader.dataset.type == 'CocoDataset'
    with pytest.warns(DataWarning, match='no metric of MMDetection can judge by it'):
        stock_config(config, choice('detector', 3), {})


def test_lvis_stays_lvis():
    from mmdet.datasets import LVISV1Dataset

    names = list(LVISV1Dataset.METAINFO['classes'])
    names[names.index('speaker_(stereo_equipment)')] = 'speaker_(stero_equipment)'  # as in the file
    config = Config.fromfile(CONFIGS / 'lvis' / 'mask_rcnn_r50_iif.py')
    init_default_scope('mmdet')
    lvis = SimpleNamespace(kind='detector', classes=names, num_classes=len(names))
    converted, _ = stock_config(config, lvis, {})
    assert converted.test_dataloader.dataset.type == 'LVISV1Dataset'
    assert converted.test_evaluator.type == 'LVISMetric'
    assert converted.test_evaluator.metric == ['bbox', 'segm']
    head = converted.model.roi_head.bbox_head
    assert head.type == 'ConvFCBBoxHead' and 'adjustment' not in head
    assert models_of('detector').build(converted.model).roi_head.bbox_head.num_classes == 1203


def test_configs_without_model_or_data_are_refused():
    for key in ('model', 'test_dataloader'):
        with pytest.raises(BadInputError, match=f'the config has no {key}'):
            convert(**{key: None})


def test_neighbours_have_other_colours():
    colours = palette(1203)
    assert all(0 <= value < 256 for colour in colours for value in colour)
    for first, second in itertools.pairwise(colours):
        assert sum(abs(a - b) for a, b in zip(first, second)) > 60


def test_a_test_file_in_another_order_is_said(tmp_path):
    names = ['class 1', 'class 0']
    path = tmp_path / 'val.json'
    path.write_text(
        json.dumps(dict(categories=[dict(id=n, name=name) for n, name in enumerate(names)]))
    )
    data = dict(type='LongTailLVISDataset', ann_file=str(path))
    converter = _Converter(choice('detector', 2))
    with pytest.warns(DataWarning, match="would take label 0, 'class 0', for 'class 1'"):
        assert converter.detection_data(data)['type'] == 'CocoDataset'
    path.write_text(
        json.dumps(dict(categories=[dict(id=9 - n, name=f'class {n}') for n in (0, 1)]))
    )
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        converter.detection_data(data)


def test_a_list_that_mmpretrain_does_not_read_is_said(tmp_path):
    path = tmp_path / 'val.txt'
    converter = _Converter(choice('classifier', 2))
    data = dict(type='ListFileDataset', ann_file=str(path))
    path.write_bytes(b'a b/c.jpg 0\nd.jpg 11\n')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert converter.list_data(data)['type'] == 'CustomDataset'
    for text in (b'\xef\xbb\xbfa.jpg 0', b'a.jpg 0\n\nb.jpg 1', b'a.jpg\t0', b'a.jpg  0'):
        path.write_bytes(text)
        with pytest.warns(DataWarning, match=r'val\.txt: line \d \(1 such lines\) is none that'):
            converter.list_data(data)
