from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from lt_det.cli.config_code import code
from lt_det.cli.init import models
from lt_det.cli.main import main
from lt_det.cli.methods import METHODS
from lt_det.cli.own_config import OwnData, Schedule, config_text
from lt_det.cli.own_models import MODELS

CUSTOM = Path(__file__).resolve().parents[2] / 'configs/custom'


def write(path: Path, counts: list[int], masks: bool = True, **drop) -> Path:
    """A COCO json with ``counts[c]`` images of one object of class c, and its images."""
    images, annotations = [], []
    for label, count in enumerate(counts):
        for _ in range(count):
            number = len(images) + 1
            name = f'{path.stem}_{number}.png'
            images.append(dict(id=number, file_name=name, width=64, height=48))
            annotation = dict(id=number, image_id=number, category_id=label + 1)
            annotation.update(bbox=[8, 8, 20, 16], area=320, iscrowd=0)
            if masks:
                annotation['segmentation'] = [[8, 8, 28, 8, 28, 24, 8, 24]]
            annotations.append(annotation)
            target = path.parent / 'images' / name
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(target)
    categories = [dict(id=label + 1, name=f'class {label}') for label in range(len(counts))]
    path.write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories, **drop))
    )
    return path


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'train.json', [12, 3, 1])
    write(tmp_path / 'val.json', [2, 2, 2])
    return tmp_path


def init(*options: str) -> int:
    return main(['init', 'train.json', 'val.json', *options])


def refused(capsys, *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        init(*options)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_config_says_what_the_data_are(data, capsys):
    assert init('--model', 'mask_rcnn_r50', '--method', 'iif_rfs', '--images', 'images') == 0
    out = capsys.readouterr().out
    assert 'it trains 72 epochs of 16 images, 4 at a time, on 1 GPU; --epochs N' in out
    assert 'lt_det train mask_rcnn_r50_iif_rfs.py' in out
    cfg = Config.fromfile('mask_rcnn_r50_iif_rfs.py')
    head = cfg.model.roi_head.bbox_head
    assert head.num_classes == cfg.model.roi_head.mask_head.num_classes == 3
    assert head.adjustment == dict(type='IIF', link='smooth')
    repeated = cfg.train_dataloader.dataset
    assert (repeated.type, repeated.oversample_thr) == ('RepeatFactorDataset', 1.0)
    for dataset, ann_file in (
        (repeated.dataset, 'train.json'),
        (cfg.val_dataloader.dataset, 'val.json'),
        (cfg.test_dataloader.dataset, 'val.json'),
    ):
        assert dataset.ann_file == ann_file
        assert dataset.data_prefix == dict(img='images')
        assert dataset.metainfo.classes == ('class 0', 'class 1', 'class 2')
    assert cfg.val_evaluator == cfg.test_evaluator
    assert (cfg.val_evaluator.ann_file, cfg.val_evaluator.protocol) == ('val.json', 'coco')
    assert cfg.optim_wrapper.optimizer.lr == 0.005
    assert cfg.train_cfg.max_epochs == 72  # 16 images
    assert cfg.param_scheduler[0].end == 28  # a tenth of 72 x 4 iterations


def test_the_data_set_of_the_config_is_built(data):
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope

    init('--model', 'faster_rcnn_r50', '--method', 'softmax')
    init_default_scope('mmdet')
    cfg = Config.fromfile('faster_rcnn_r50_softmax.py')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 16
    assert dataset.class_frequency.image_count.tolist() == [12, 3, 1]
    assert len(dataset[15]['data_samples'].gt_instances) == 1


def test_objects_of_rare_classes_are_pasted(data, capsys):
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope

    assert init('--method', 'iif_copy_paste', '--bounds', '2', '5') == 0
    init_default_scope('mmdet')
    cfg = Config.fromfile('mask_rcnn_r50_iif_copy_paste.py')
    assert cfg.model.roi_head.bbox_head.adjustment == dict(type='IIF', link='smooth')
    assert [step.type for step in cfg.train_dataloader.dataset.pipeline] == [
        'RareCopyPaste',
        'PackDetInputs',
    ]
    assert cfg.train_dataloader.dataset.pipeline[0].max_images == 5
    mixed = DATASETS.build(cfg.train_dataloader.dataset)
    np.random.seed(0)
    labels = [mixed[0]['data_samples'].gt_instances.labels.tolist() for _ in range(30)]
    assert all(0 in of_image or {1, 2} & set(of_image) for of_image in labels)
    # the image has class 0 alone, but for what is pasted
    assert {0, 1, 2} == {label for of_image in labels for label in of_image}
    write(data / 'train.json', [12, 7, 6])
    message = refused(capsys, '--method', 'copy_paste', '--bounds', '2', '5', '--out', 'b.py')
    assert (
        'in at most 5 training images, but the rarest is in 6; expected other --bounds' in message
    )
    assert not Path('b.py').exists()
    message = refused(capsys, '--model', 'faster_rcnn_r50', '--method', 'copy_paste')
    assert "--method is 'copy_paste', which faster_rcnn_r50" in message


def test_never_overwrites(data, capsys):
    Path('mine.py').write_text('precious')
    message = refused(capsys, '--out', 'mine.py')
    assert 'mine.py exists; expected a new file' in message
    assert Path('mine.py').read_text() == 'precious'


def test_unknown_choices_list_those_there_are(data, capsys):
    message = refused(capsys, '--model', 'yolo')
    assert "'yolo'" in message
    assert all(model in message for model in models())
    message = refused(capsys, '--method', 'magic')
    assert "'magic'" in message
    assert all(method in message for method in METHODS)
    assert not list(data.glob('*.py'))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--gpus', '-1'], '--gpus is -1, expected 0 or more'),
        (['--batch-size', '0'], '--batch-size is 0, expected 1 or more'),
        (['--epochs', '0'], '--epochs is 0, expected 1 or more'),
        (['--bounds', '100', '10'], 'expected two rising numbers'),
        (['--weights', 'val.json'], 'val.json, which does not begin as a checkpoint'),
        (['--weights', 'absent.pth'], 'absent.pth; expected coco, imagenet, none'),
        (['--model', 'mask_rcnn_r18', '--weights', 'coco'], 'expected imagenet, none or a file'),
        (['--out', 'absent/mine.py'], 'the folder absent does not exist'),
        (['--model', 'cascade_rcnn_r50', '--method', 'camc'], 'has no cascade'),
        (
            ['--model', 'retinanet_r50', '--method', 'softmax'],
            "--method is 'softmax', which retinanet_r50, of independent sigmoids, cannot have; "
            'expected one of sigmoid, rfs, iif, iif_rfs, prior_shift,',
        ),
        (
            ['--model', 'rtmdet_ins_s', '--method', 'efl'],
            'of sigmoids trained towards the overlap of boxes, cannot have; expected one of ',
        ),
        (
            ['--model', 'mask2former_r50', '--method', 'seesaw'],
            'of one softmax, of queries, cannot have; expected one of softmax, rfs, iif,',
        ),
        (
            ['--model', 'mask_rcnn_r50', '--method', 'prior_shift'],
            'of one softmax, cannot have; expected one of softmax, rfs,',
        ),
    ],
)
def test_bad_options_are_named(data, capsys, options, words):
    assert words in refused(capsys, *options)


def test_a_folder_without_the_images_is_refused_with_the_paths_tried(data, capsys):
    Path('elsewhere').mkdir()
    message = refused(capsys, '--images', 'elsewhere')
    assert '--images is elsewhere' in message
    assert 'elsewhere/train_1.png' in message


def test_the_option_that_was_given_is_named(data, capsys):
    for name in ('val_1.png', 'val_2.png', 'val_3.png'):
        Path('images', name).unlink()
    message = refused(capsys, '--images', 'images')
    assert '--images is images: the first images of val.json are not there' in message
    assert message.endswith('; --val-images gives them a folder of their own\n')
    message = refused(capsys, '--images', 'images', '--val-images', 'elsewhere')
    assert '--val-images is elsewhere: ' in message and 'of their own' not in message
    assert '--val-images is not given' in refused(capsys)


def test_images_of_both_files_are_refused(data, capsys):
    content = json.loads((data / 'val.json').read_text())
    content['images'][0] = json.loads((data / 'train.json').read_text())['images'][0]
    (data / 'val.json').write_text(json.dumps(content))
    message = refused(capsys, '--images', 'images')
    assert 'val.json: 1 of 6 images are in train.json too, the first is train_1.png' in message
    with pytest.raises(SystemExit, match='2'):
        main(['init', 'train.json', 'train.json'])
    assert '16 of 16 images are in train.json too' in capsys.readouterr().err


def test_a_model_with_masks_needs_masks(data, capsys):
    write(data / 'train.json', [2, 1, 1], masks=False)
    message = refused(capsys, '--model', 'mask_rcnn_r50')
    assert 'no annotation of train.json has a mask' in message
    assert 'faster_rcnn_r50' in message
    assert init('--model', 'faster_rcnn_r50') == 0


def test_masks_that_a_model_cannot_learn_are_refused(data, capsys):
    content = json.loads((data / 'train.json').read_text())
    for annotation in content['annotations']:
        annotation['segmentation'] = dict(size=[48, 64], counts=[100, 20, 2952])
    (data / 'train.json').write_text(json.dumps(content))
    message = refused(capsys, '--model', 'rtmdet_ins_s')
    assert 'learns masks from polygons alone, but no mask of train.json is one' in message
    assert 'mask2former_r50' in message
    assert init('--model', 'mask2former_r50') == 0


def test_classes_without_training_images_are_left_out_and_said(data, capsys):
    write(data / 'train.json', [2, 0, 1])
    assert init('--out', 'mine.py') == 0
    assert "classes without a training image are left out (1): 'class 1'" in capsys.readouterr().err
    cfg = Config.fromfile('mine.py')
    assert cfg.val_dataloader.dataset.metainfo.classes == ('class 0', 'class 2')
    assert cfg.model.roi_head.bbox_head.num_classes == 2


def test_a_validation_that_lacks_a_class_is_refused(data, capsys):
    write(data / 'val.json', [2, 2])
    assert "val.json lacks 1 of the 3 classes of train.json: 'class 2'" in refused(capsys)


def test_many_names_go_into_a_file(data):
    write(data / 'train.json', [1] * 150)
    write(data / 'val.json', [1] * 150)
    init('--out', 'mine.py')
    names = Path('mine_classes.txt').read_text().splitlines()
    assert names == [f'class {label}' for label in range(150)]
    cfg = Config.fromfile('mine.py')
    assert cfg.train_dataloader.dataset.metainfo.classes == 'mine_classes.txt'


@pytest.mark.parametrize('name', ['ends in a space ', 'two\nlines', '\ufeffmarked', '\ud800'])
def test_names_that_a_file_would_change_stay_in_the_config(data, name):
    names = [name, *(f'class {label} {"x" * 90}' for label in range(1, 30))]
    for split in ('train.json', 'val.json'):
        path = write(data / split, [1] * 30)
        content = json.loads(path.read_text())
        for category, text in zip(content['categories'], names):
            category['name'] = text
        path.write_text(json.dumps(content))
    assert init('--out', 'mine.py') == 0
    assert not Path('mine_classes.txt').exists()
    cfg = Config.fromfile('mine.py')
    assert cfg.train_dataloader.dataset.metainfo.classes == tuple(names)


NAMES = tuple(f'a name of some length {label}' for label in range(1203))


def own(classes: int = 12, **change) -> OwnData:
    values = dict(
        train='data/a folder/annotations/train.json',
        val='data/a folder/annotations/val.json',
        images='data/a folder/images/',
        val_images='data/a folder/images/',
        classes=NAMES[:classes],
        names_file='mine_classes.txt',
        num_images=1000,
        protocol='coco',
        bounds=(5, 50),
        summary='1,000 images',
    )
    return OwnData(**{**values, **change})


@cache
def base(model: str) -> Config:
    return Config.fromfile(CUSTOM / f'{model}.py')


def heads_of(model: dict) -> list[dict]:
    """Configs of the heads that have class logits."""
    heads = model.get('bbox_head') or model.get('panoptic_head') or model.roi_head.bbox_head
    return heads if isinstance(heads, list) else [heads]


@pytest.mark.parametrize('model', models())
def test_every_model_with_every_method_is_at_most_30_lines(model, tmp_path):
    own_model = MODELS[model]
    for method, values in own_model.methods.items():
        for weights in (None, 'none', 'imagenet', 'detector.pth'):
            schedule = Schedule.of(1000, 4, 2, None)
            text = config_text(own(), model, method, schedule, weights, 'x', names_inline=False)
            assert text.count('\n') <= 30, text
            path = tmp_path / f'{method}_{weights}.py'
            path.write_text(text)
        cfg = Config.fromfile(path)
        for head in heads_of(cfg.model):
            assert head.get('num_classes', head.get('num_things_classes')) == 12
            assert head.loss_cls.get('num_classes', 12) == 12
            assert head.loss_cls.get('loss_weight', 1.0) == own_model.loss_weight
            if 'loss_cls' in values.head:
                assert head.loss_cls.type == values.head['loss_cls']['type']
        part = cfg.model if cfg.model.type == 'LongTail' else heads_of(cfg.model)[0]
        assert part.get('adjustment') == values.head.get('adjustment')
        assert cfg.val_evaluator.bounds == (5, 50)
        # here 4 x 2 images
        assert cfg.optim_wrapper.optimizer.lr == float(f'{own_model.lr * 8 / own_model.batch:.4g}')
        assert cfg.load_from == 'detector.pth'
        assert ('segm' in cfg.val_evaluator.metric) == own_model.masks
        assert (cfg.train_cfg.type, cfg.train_cfg.max_epochs) == ('EpochBasedTrainLoop', 36)
        assert cfg.default_hooks.checkpoint.interval == 1


def test_there_is_a_base_for_every_model():
    assert models() == sorted(path.stem for path in CUSTOM.glob('*.py'))


@pytest.mark.parametrize('model', models())
def test_what_init_knows_of_a_model_is_what_its_base_has(model):
    cfg, own_model = base(model), MODELS[model]
    assert cfg.optim_wrapper.optimizer.lr == own_model.lr
    assert cfg.auto_scale_lr.base_batch_size == own_model.batch
    weights = {head.loss_cls.loss_weight for head in heads_of(cfg.model)}
    assert weights == {own_model.loss_weight}
    loads = [step for step in cfg.train_dataloader.dataset.pipeline if 'with_mask' in step]
    assert bool(loads) == own_model.masks
    assert own_model.polygons == any(not step.get('poly2mask', True) for step in loads)
    switching = [hook for hook in cfg.custom_hooks if hook.type == 'PipelineSwitchHook']
    assert bool(switching) == own_model.switches
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (12, [8, 11])


@pytest.mark.parametrize('model', ['rtmdet_ins_s', 'dino_r50', 'mask2former_r50'])
def test_detectors_of_mmdetection_start_from_weights_of_imagenet_where_asked(model, tmp_path):
    lt_config = tmp_path / 'mine.py'
    schedule = Schedule.of(1000, 1, 4, None)
    lt_config.write_text(config_text(own(), model, 'iif', schedule, 'imagenet', 'x'))
    given = Config.fromfile(lt_config).model.backbone.init_cfg
    stock = Config.fromfile(CUSTOM.parent / f'_base_/detectors/{model}.py').model.backbone.init_cfg
    assert {**given, '_scope_': None} == {**stock, '_scope_': None}


def test_the_last_epochs_of_a_longer_training_are_without_mosaic(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        config_text(own(), 'rtmdet_ins_s', 'rfs', Schedule.of(1000, 1, 4, 36), None, 'x')
    )
    hooks = {hook.type: hook for hook in Config.fromfile(path).custom_hooks}
    assert hooks['PipelineSwitchHook'].switch_epoch == 30
    assert {'EMAHook', 'ClassFrequencyHook'} <= hooks.keys()


def test_the_bases_start_from_weights_that_mmdetection_publishes():
    import mmdet

    zoo = Path(mmdet.__file__).parent / '.mim/configs'
    published = '\n'.join(path.read_text() for path in zoo.glob('*/metafile.yml'))
    if not published:
        pytest.skip('MMDetection is installed without its configs')
    for model in models():
        weights = base(model).load_from
        assert weights is None or f'Weights: {weights}\n' in published


@pytest.mark.parametrize(
    ('images', 'epochs', 'expected'),
    [(100_000, None, 12), (3000, None, 12), (1000, None, 36), (10, None, 72), (10, 3, 3)],
)
def test_few_images_are_shown_more_often(images, epochs, expected):
    schedule = Schedule.of(images, 2, 4, epochs)
    assert schedule.epochs == expected
    assert schedule.iterations == expected * -(-images // 8)


@pytest.mark.parametrize(
    'value',
    [
        dict(a=1, b=dict(c='x y', d=[1, 2.5, None], e=(1,))),
        dict(names=NAMES[:20], more=[dict(a=NAMES[:3], b=dict(c=dict(d=NAMES[:7])))] * 2),
        list(NAMES[:40]),
    ],
)
def test_code_is_the_value_in_lines_of_100(value):
    text = code(value, 0)
    assert eval(text) == value
    assert max(map(len, text.split('\n'))) <= 100
