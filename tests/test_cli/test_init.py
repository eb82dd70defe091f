"""``lt_det init``: the config that it writes for a data set, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from lt_det.cli.init import models
from lt_det.cli.main import main
from lt_det.cli.methods import METHODS

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
        (['--out', 'mine'], '--out is mine, expected the name of a config, which ends in .py'),
        (['--batch-size', '0'], '--batch-size is 0, expected 1 or more'),
        (['--epochs', '0'], '--epochs is 0, expected 1 or more'),
        (['--bounds', '100', '10'], 'expected two rising numbers'),
        (['--weights', 'val.json'], 'val.json, which does not begin as a checkpoint'),
        (['--weights', 'absent.pth'], 'absent.pth; expected coco, imagenet, none'),
        (['--model', 'mask_rcnn_r18', '--weights', 'coco'], 'expected imagenet, none or a file'),
        (['--out', 'absent/mine.py'], 'the folder absent does not exist'),
        (['--model', 'cascade_rcnn_r50', '--method', 'camc'], "'camc', which cascade_rcnn_r50"),
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
    assert init('--method', 'softmax') == 0  # a model of boxes is chosen
    assert 'faster_rcnn_r50_softmax.py: faster_rcnn_r50, softmax' in capsys.readouterr().out
    assert init('--method', 'softmax', '--out', 'mine.py') == 0
    assert 'mine.py: faster_rcnn_r50' in capsys.readouterr().out
    assert '--model is mask_rcnn_r50' in refused(capsys, '--method', 'copy_paste')


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
