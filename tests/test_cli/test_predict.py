from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as mask_utils

from lt_det.cli.main import main
from lt_det.cli.predict import find_images, picture_names
from lt_det.errors import MissingFileError

CONFIG = """
_base_ = ['lt_det::custom/mask_rcnn_r18.py']
classes = ('cat', 'dog', 'rare bird')
model = dict(
    backbone=dict(init_cfg=None),
    roi_head=dict(
        bbox_head=dict(num_classes=3, adjustment=dict(type='IIF')),
        mask_head=dict(num_classes=3),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=5)),
)
test_dataloader = dict(dataset=dict(metainfo=dict(classes=classes)))
"""


def picture(path: Path, size=(90, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope='module')
def detector(tmp_path_factory) -> tuple[str, str]:
    """Config and checkpoint of an untrained detector with counts and names of classes."""
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from lt_det.frequency import ClassFrequency
    from lt_det.frequency_module import frequency_modules

    folder = tmp_path_factory.mktemp('detector')
    config = folder / 'mine.py'
    config.write_text(CONFIG)
    torch.manual_seed(0)
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(config).model)
    for module in frequency_modules(model):
        module.set_class_frequency(ClassFrequency([50, 20, 2], [80, 30, 2], 60))
    meta = dict(dataset_meta=dict(classes=('cat', 'dog', 'rare bird')))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / 'mine.pth')
    return str(config), str(folder / 'mine.pth')


def test_the_json_the_pictures_and_mmdetections_own_ways_agree(detector, tmp_path, capsys):
    config, checkpoint = detector
    first = picture(tmp_path / 'images/a.png')
    second = picture(tmp_path / 'images/below/b.jpg', (70, 80))
    (tmp_path / 'images/broken.jpg').write_bytes(b'no image')
    out = tmp_path / 'out'
    arguments = [config, checkpoint, str(tmp_path / 'images'), '--out', str(out)]
    assert main(['predict', *arguments, '--score-thr', '0.05', '--device', 'cpu']) == 0
    said = capsys.readouterr()
    assert '1 of 3 images are broken and were left out' in said.err
    records = json.loads((out / 'predictions.json').read_text())
    assert [record['file'] for record in records] == [str(first), str(second)]
    assert [(record['height'], record['width']) for record in records] == [(60, 90), (80, 70)]
    for name, size in (('a.jpg', (90, 60)), ('below_b.jpg', (70, 80))):
        assert Image.open(out / name).size == size
    assert sorted(path.name for path in out.iterdir()) == [
        'a.jpg',
        'below_b.jpg',
        'predictions.json',
    ]

    from mmdet.apis import DetInferencer, inference_detector, init_detector

    sample = inference_detector(init_detector(config, checkpoint, device='cpu'), str(first))
    instances = sample.pred_instances[sample.pred_instances.scores >= 0.05]
    assert len(instances) > 0
    by_class = {'cat': 0, 'dog': 1, 'rare bird': 2}
    detections = records[0]['detections']
    assert [by_class[d['class']] for d in detections] == instances.labels.tolist()
    boxes = np.array([d['bbox'] for d in detections])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, instances.bboxes.numpy(), atol=0.02)
    masks = np.stack([mask_utils.decode(d['segmentation']) for d in detections])
    assert (masks == np.asarray(instances.masks)).all()

    inferencer = DetInferencer(config, checkpoint, device='cpu', show_progress=False)
    predictions = inferencer(str(first), no_save_vis=True, return_datasamples=False)['predictions'][
        0
    ]
    np.testing.assert_allclose(
        predictions['scores'][: len(instances)], instances.scores.numpy(), rtol=1e-5
    )
    assert inferencer.model.dataset_meta['classes'] == ('cat', 'dog', 'rare bird')


def test_predictions_are_evaluated(detector, tmp_path, capsys):
    """Objects where the detector sees them, under other ids: all are found, at every IoU."""
    files = [picture(tmp_path / 'images/a.png'), picture(tmp_path / 'images/b.jpg', (70, 80))]
    out = tmp_path / 'out'
    arguments = [*detector, str(tmp_path / 'images'), '--no-pictures', '--device', 'cpu']
    arguments += ['--out', str(out), '--score-thr', '0']
    main(['predict', *arguments])
    ids = {'rare bird': 2, 'dog': 8, 'cat': 5}
    truth = dict(images=[], annotations=[])
    truth['categories'] = [dict(id=number, name=name) for name, number in ids.items()]
    for number, entry in enumerate(json.loads((out / 'predictions.json').read_text()), 70):
        name, height, width = Path(entry['file']).name, entry['height'], entry['width']
        truth['images'].append(dict(id=number, file_name=name, height=height, width=width))
        for found in entry['detections']:
            truth['annotations'].append(
                dict(
                    id=len(truth['annotations']) + 1,
                    image_id=number,
                    category_id=ids[found['class']],
                    bbox=found['bbox'],
                    segmentation=found['segmentation'],
                    area=int(mask_utils.area(found['segmentation'])),
                    iscrowd=0,
                )
            )
    assert len(truth['annotations']) > len(files)
    ann = tmp_path / 'val.json'
    ann.write_text(json.dumps(truth))
    main(['predict', *arguments, '--ann', str(ann)])
    assert 'records with the ids of' in capsys.readouterr().out
    metrics = []
    for results in ('predictions.json', 'results.json'):
        scores = out / f'metrics_{results}'
        assert main(['evaluate', str(out / results), '--ann', str(ann), '--out', str(scores)]) == 0
        metrics.append(json.loads(scores.read_text()))
    assert metrics[0] == metrics[1]
    assert metrics[0]['bbox_AP'] == metrics[0]['segm_AP'] == 1
    records = json.loads((out / 'results.json').read_text())
    assert len(records) == len(truth['annotations'])
    assert {record['image_id'] for record in records} == {70, 71}


@pytest.mark.parametrize(
    ('images', 'options', 'words'),
    [
        (['absent.jpg'], [], 'absent.jpg: no such file, folder or match'),
        (['empty'], [], 'empty: no image in this folder'),
        (['text.jpg'], [], 'none of the 1 files is an image'),
        (['a.png'], ['--ann', 'absent.json'], '--ann absent.json does not exist'),
        (['a.png'], ['--score-thr', '2'], '--score-thr is 2.0, expected 0 to 1'),
    ],
)
def test_bad_input_is_one_line(detector, tmp_path, capsys, monkeypatch, images, options, words):
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    Path('text.jpg').write_text('text')
    picture(tmp_path / 'a.png')
    with pytest.raises(SystemExit) as ended:
        main(['predict', *detector, *images, *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_absent_checkpoint_is_named(detector, tmp_path, capsys):
    path = picture(tmp_path / 'a.png')
    with pytest.raises(SystemExit):
        main(['predict', detector[0], 'absent.pth', str(path)])
    assert 'checkpoint absent.pth does not exist' in capsys.readouterr().err


def test_files_folders_and_patterns(tmp_path):
    files = [picture(tmp_path / name) for name in ('a/1.png', 'a/b/2.JPG', 'c/3.png', 'c/[4].png')]
    (tmp_path / 'a/notes.txt').write_text('no image')
    one, two, three, four = map(str, files)
    assert find_images([str(tmp_path / 'a')]) == [one, two]
    assert find_images([three, str(tmp_path / 'c/*.png')]) == [three, four]
    assert find_images([four]) == [four]  # a file with the signs of a pattern in its name
    with pytest.raises(MissingFileError, match='no such file'):
        find_images([three, str(tmp_path / '*.gif')])


def test_pictures_have_names_of_their_own():
    assert picture_names(['x/a.jpg']) == ['a.jpg']
    assert picture_names(['x/a.jpg', 'y/a.jpg']) == ['x_a.jpg', 'y_a.jpg']
    names = picture_names(['x/a.jpg', 'x/a.png', 'x/b_c.png', 'x/b/c.png'])
    assert len(set(names)) == 4
    names = picture_names(['d/a.jpg', 'd/a.png', 'd/a_2.jpg', 'd/a_2.png', 'd/a.bmp'])
    assert names == ['a.jpg', 'a_2.jpg', 'a_2_2.jpg', 'a_2_3.jpg', 'a_3.jpg']


def test_a_classifier_is_refused(tmp_path, capsys):
    config = tmp_path / 'classifier.py'
    config.write_text("default_scope = 'mmpretrain'\n")
    (tmp_path / 'a.pth').write_bytes(b'')
    path = picture(tmp_path / 'a.png')
    with pytest.raises(SystemExit):
        main(['predict', str(config), str(tmp_path / 'a.pth'), str(path)])
    assert 'is of a classifier, expected a detector' in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(detector, tmp_path, capsys):
    config, checkpoint = detector
    other = tmp_path / 'other.pth'
    content = torch.load(checkpoint, weights_only=True)
    for part in ('weight', 'bias'):
        del content['state_dict'][f'roi_head.bbox_head.fc_cls.{part}']
    torch.save(content, other)
    image = picture(tmp_path / 'a.png')
    arguments = [config, str(other), str(image), '--device', 'cpu', '--out', str(tmp_path / 'out')]
    with pytest.raises(SystemExit, match='2'):
        main(['predict', *arguments])
    said = capsys.readouterr().err
    assert f'error: checkpoint {other} is of another model: it has no roi_head.bbox_head' in said
