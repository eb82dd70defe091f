"""Every config in the tree: it builds, takes a training step and predicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules as register_mmdet
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, Registry, init_default_scope
from torch import nn

from lt_det.adjustments import build_adjustment
from lt_det.frequency import ClassFrequency

from .test_metafiles import metafile_rows

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs'))
    for path in (ROOT / 'configs').rglob('*.py')
    # BALLAD's need weights that are not there: test_ballad_configs.py
    if '_base_' not in path.parts and 'ballad' not in path.name
)
RUNTIME_HOOKS = {'ClassFrequencyHook', 'EpochSeedHook', 'ReportHook'}
KEYS_OF_A_RUN = (
    *('model', 'data_preprocessor', 'train_dataloader', 'test_dataloader', 'train_cfg'),
    *('optim_wrapper', 'param_scheduler', 'custom_hooks', 'load_from', 'run', 'phases'),
)
# one of each kind of head, loss, rule and detector
REPRESENTATIVE = [
    'lvis/mask_rcnn_r50_iif_v0.5_2x.py',
    'lvis/htc_r50_iif.py',
    'lvis/mask_rcnn_r50_iif_base10_obj_fasa_rfs_cosine_normed_mask_2x.py',
    'lvis/mask_rcnn_r50_iif_camc.py',
    'lvis/mask_rcnn_r50_seesaw_2x.py',
    'lvis/mask_rcnn_r50_eqlv2.py',
    'lvis/mask_rcnn_r50_federated.py',
    'lvis/mask_rcnn_r50_gol.py',
    'lvis/mask_rcnn_r50_iif_copy_paste.py',
    'lvis/mask_rcnn_r50_fracal_rfs_cosine_normed_mask_2x.py',
    'glyphs/retinanet_r18_prior_shift_demo.py',
    'glyphs/rtmdet_ins_r18_sigmoid_demo.py',
    'glyphs/dino_r18_prior_shift_demo.py',
    'glyphs/mask2former_r18_softmax_demo.py',
    'glyphs/cascade_rcnn_r18_norcal_demo.py',
    'glyphs/atss_r18_prior_shift_demo.py',
    'glyphs/deformable_detr_r18_prior_shift_demo.py',
    'glyphs/sparse_rcnn_r18_prior_shift_demo.py',
    'glyphs/crops_smcl.py',
    'glyphs/crops_smcl_cam.py',
]


def load(name: str) -> Config:
    cfg = Config.fromfile(ROOT / 'configs' / name)
    register_mmdet(init_default_scope=False)
    if cfg.default_scope == 'mmpretrain':
        import mmpretrain.utils

        mmpretrain.utils.register_all_modules(init_default_scope=False)
    init_default_scope(cfg.default_scope)
    return cfg


def test_the_representative_configs_exist():
    assert set(REPRESENTATIVE) <= set(CONFIGS)


@pytest.mark.parametrize('name', CONFIGS)
def test_it_builds(name, monkeypatch):
    cfg = load(name)
    # once everything is imported: a module would keep what it finds
    for init in ('uniform_', 'normal_', 'kaiming_uniform_', 'kaiming_normal_', 'xavier_uniform_'):
        monkeypatch.setattr(nn.init, init, lambda tensor, *args, **kwargs: tensor)
    # no memory and no time for weights that nobody reads; MMPretrain's backbones need a real device
    with torch.device('cpu' if cfg.default_scope == 'mmpretrain' else 'meta'):
        model = MODELS.build(cfg.model)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1e4
    for hook in cfg.custom_hooks:
        assert HOOKS.build(hook) is not None
    row = metafile_rows()[f'configs/{name}']
    assert row['Metadata'].get('Epochs') == cfg.train_cfg.get('max_epochs')
    # a list replaces a list: none has lost those of its base
    assert {hook.type for hook in cfg.custom_hooks} >= RUNTIME_HOOKS
    for split in ('train', 'val', 'test'):
        for dataset in datasets(cfg[f'{split}_dataloader'].dataset):
            assert is_registered(DATASETS, dataset.type)
            if dataset.get('pipeline'):
                Compose(dataset.pipeline)
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    assert all(is_registered(METRICS, evaluator.type) for evaluator in evaluators)


def is_registered(registry: Registry, name: str) -> bool:
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(name) is not None


def datasets(dataset: dict) -> Iterator[dict]:
    yield dataset
    if 'dataset' in dataset:
        yield from datasets(dataset.dataset)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name in REPRESENTATIVE else pytest.mark.slow)
        for name in CONFIGS
    ],
)
def test_it_trains_and_predicts(name):
    cfg = load(name)
    torch.manual_seed(0)
    if cfg.default_scope == 'mmpretrain':
        classify(cfg)
    else:
        detect(cfg)


def detect(cfg: Config) -> None:
    """A training step and a prediction on an image of 64 pixels with a few boxes."""
    cfg.model.backbone.init_cfg = None  # nothing is downloaded
    cfg.model.data_preprocessor.batch_augments = None  # nor padded to 1024 pixels
    narrow(cfg.model)
    if cfg.model.get('detector') == 'SparseRCNN':
        cfg.model.test_cfg.rcnn.max_per_img = 4
    elif cfg.model.get('roi_head'):
        shrink_rois(cfg.model)
    elif cfg.model.get('panoptic_head'):
        cfg.model.test_cfg.max_per_image = 4
    else:
        cfg.model.test_cfg.update(max_per_img=4, score_thr=0.0)
    if 'num_queries' in cfg.model:  # DINO takes as many proposals
        cfg.model.num_queries = 20
    model = revert_sync_batchnorm(MODELS.build(cfg.model))  # as the runner does
    model.init_weights()
    num_classes = class_count(cfg.model)
    prepare(model, num_classes)
    packed = demo_mm_inputs(1, [[3, 64, 64]], num_classes=num_classes, with_mask=True)
    data = model.data_preprocessor(packed, True)
    take_step(model, model.loss(data['inputs'], data['data_samples']))
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(packed, False)
        (result,) = model.predict(data['inputs'], data['data_samples'])
    found = result.pred_instances
    assert 0 < len(found) <= 4
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    metrics = cfg.val_evaluator.metric
    assert 'segm' not in metrics or found.masks.shape[0] == len(found)


def narrow(model: Config) -> None:
    """A backbone and fully connected layers of an eighth of the width."""
    neck = model.get('neck')
    wide = model.backbone.type == 'ResNet' and model.backbone.get('base_channels', 64) == 64
    if wide and isinstance(neck, dict) and neck.type == 'FPN':
        model.backbone.update(base_channels=8, stem_channels=8)
        neck.in_channels = [channels // 8 for channels in neck.in_channels]
    heads = model.get('roi_head', {}).get('bbox_head', ())
    for head in heads if isinstance(heads, list) else [heads]:
        if 'fc_out_channels' in head:
            head.fc_out_channels = 128


def shrink_rois(model: Config) -> None:
    stages = model.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.num = 16
    model.train_cfg.rpn_proposal.max_per_img = 32
    model.test_cfg.rpn.max_per_img = 16
    model.test_cfg.rcnn.update(max_per_img=4, score_thr=0.0)


def class_count(model: Config) -> int:
    """The number of classes of a detector's config."""
    head = model.get('bbox_head') or model.get('panoptic_head') or model.roi_head.bbox_head
    head = head[0] if isinstance(head, list) else head
    return head.get('num_things_classes') or head.num_classes


def classify(cfg: Config) -> None:
    """A training step and a prediction on two images of 64 pixels."""
    from mmpretrain.structures import DataSample

    cfg.model.backbone.init_cfg = None  # nothing is downloaded
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))  # as the runner does
    model = MODELS.build(cfg.model)
    model.init_weights()
    num_classes = model.head.num_classes
    prepare(model, num_classes)
    packed = dict(
        inputs=[torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8) for _ in range(2)],
        data_samples=[DataSample().set_gt_label(label) for label in range(2)],
    )
    views = sum(
        sum(transform.num_views)
        for transform in cfg.train_dataloader.dataset.get('pipeline', ())
        if transform.type == 'MaskedMultiView'
    )
    batch = {**packed, 'inputs': [packed['inputs']] * views} if views else packed
    data = model.data_preprocessor(batch, True)
    take_step(model, model.loss(data['inputs'], data['data_samples']))
    model.eval()
    with torch.no_grad():
        data = model.data_preprocessor(packed, False)
        results = model.predict(data['inputs'], data['data_samples'])
    assert [result.pred_score.shape for result in results] == [(num_classes,)] * 2


def prepare(model: nn.Module, num_classes: int) -> None:
    """What the hooks would do before the second epoch."""
    frequency = ClassFrequency(np.arange(1, num_classes + 1), num_images=2 * num_classes)
    for module in model.modules():
        if hasattr(module, 'set_class_frequency'):
            module.set_class_frequency(frequency)
        if hasattr(module, 'set_box_dimension'):
            module.set_box_dimension(np.full(num_classes, 1.5))
        if hasattr(module, 'set_epoch'):
            module.set_epoch(1)
        if hasattr(module, 'set_words') and module.words.source == 'learned':
            words = [str(index) for index in range(module.num_words)]
            module.set_words(words, np.ones(module.num_words), 9)
        elif hasattr(module, 'set_words'):  # from files that are not here
            module.positive_weight = torch.ones(module.num_words)


def take_step(model: nn.Module, losses: dict) -> None:
    total, logged = model.parse_losses(losses)
    assert all(torch.as_tensor(value).isfinite() for value in logged.values()), logged
    total.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    parameters = [p for p in trained if p.grad is not None]
    assert len(parameters) > 0.9 * len(trained)
    assert all(torch.isfinite(p.grad).all() for p in parameters)
    torch.optim.SGD(parameters, lr=1e-4).step()


@pytest.mark.slow
def test_no_two_configs_are_the_same_experiment():
    first = {}
    for path in sorted((ROOT / 'configs').glob('*/*.py')):
        if path.parent.name != '_base_':
            cfg = Config.fromfile(path)
            twin = first.setdefault(repr([cfg.get(key) for key in KEYS_OF_A_RUN]), path)
            assert twin == path, f'{path.name} is the same as {twin.name}'


@pytest.mark.parametrize('count', ['image', 'instance'])
@pytest.mark.parametrize('link', ['raw', 'smooth', 'rel', 'normit', 'gombit', 'base2', 'base10'])
def test_each_of_the_14_rules_is_one_key_of_the_config(link, count):
    cfg = load('lvis/mask_rcnn_r50_iif.py')
    key = 'model.roi_head.bbox_head.adjustment'
    cfg.merge_from_dict({key: dict(link=link, count=count)})
    rule = build_adjustment(cfg.model.roi_head.bbox_head.adjustment, num_classes=3)
    assert (type(rule).__name__, rule.link, rule.count) == ('IIF', link, count)
