import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from lt_det.errors import UserError
from lt_det.report import draw_detections, pictures, plot_ap_by_frequency, plot_reliability
from lt_det.report.class_attention import draw_class_attention
from lt_det.report.features import draw_features
from lt_det.report.label_places import place_labels
from lt_det.report.pictures import match

AREA = (0, 0, 300, 200)


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 10_000), st.integers(0, 40))
def test_no_label_covers_another(seed, number):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 1, (number, 2)) * [280, 180]
    boxes = np.hstack([corners, corners + rng.uniform(2, 60, (number, 2))])
    sizes = rng.uniform([20, 6], [90, 10], (number, 2))
    places = place_labels(boxes.tolist(), sizes.tolist(), AREA)
    kept = [(*p, p[0] + w, p[1] + h) for p, (w, h) in zip(places, sizes.tolist()) if p]
    for i, (x1, y1, x2, y2) in enumerate(kept):
        assert x1 >= 0 and y1 >= 0 and x2 <= 300 + 1e-9 and y2 <= 200 + 1e-9
        for a1, b1, a2, b2 in kept[:i]:
            assert min(x2, a2) <= max(x1, a1) or min(y2, b2) <= max(y1, b1)
    if number:
        assert places[0] is not None
    if number <= 5:
        assert None not in places


def instances(boxes, labels, scores=None):
    made = InstanceData(bboxes=torch.tensor(boxes).float(), labels=torch.tensor(labels))
    if scores is not None:
        made.scores = torch.tensor(scores)
    return made


def test_a_hit_takes_the_object_of_its_class_that_is_left():
    truth = instances(
        [[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [80, 0, 90, 10]], [1, 1, 2, 3]
    )
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60], [80, 0, 90, 4]]
    detections = instances(boxes, [1, 1, 1, 1, 3], [0.5, 0.9, 0.7, 0.9, 0.9])
    found, right = match(truth, detections)
    assert found.tolist() == [True, True, False, False]
    assert right.tolist() == [False, True, True, False, False]
    assert match(InstanceData(), detections)[1].tolist() == [False] * 5
    assert match(truth, detections[:0])[0].tolist() == [False] * 4


def test_the_picture_is_small_whatever_it_shows(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / 'noise.png'), rng.integers(0, 255, (480, 640, 3)).astype(np.uint8))
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'noise.png')))
    boxes = np.sort(rng.uniform(0, 480, (60, 2, 2)), 1).reshape(60, 4).tolist()
    sample.gt_instances = instances(boxes, [0] * 60)
    sample.pred_instances = instances(boxes, [0] * 60, [0.9] * 60)
    draw_detections([sample] * 3, ['$a name_with^ $ signs'], tmp_path / 'out.png')
    assert (tmp_path / 'out.png').stat().st_size <= 400_000
    assert min(cv2.imread(str(tmp_path / 'out.png')).shape[:2]) > 150


def test_hits_misses_and_false_positives_look_different(tmp_path):
    cv2.imwrite(str(tmp_path / 'white.png'), np.full((100, 100, 3), 255, np.uint8))
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'white.png')))
    sample.gt_instances = instances([[10, 10, 40, 40], [60, 60, 90, 90]], [0, 0])
    sample.pred_instances = instances([[10, 10, 40, 40], [60, 10, 90, 40]], [0, 0], [0.9, 0.9])
    draw_detections([sample], ['a'], tmp_path / 'out.png')
    picture = cv2.imread(str(tmp_path / 'out.png'))[60:, :, ::-1].astype(int)  # without the legend

    def has(part, colour):
        return (np.abs(part - colour).sum(-1) < 60).sum() > 20

    left, right = np.array_split(picture, 2, axis=1)
    found, missed, wrong = (0, 114, 178), (230, 159, 0), (204, 121, 167)
    assert has(left, found) and has(left, missed) and not has(left, wrong)
    assert has(right, found) and has(right, wrong) and not has(right, missed)


def test_labels_on_a_picture_do_not_overlap(tmp_path, monkeypatch):
    """As drawn: their backs too."""
    cv2.imwrite(str(tmp_path / 'white.png'), np.full((100, 100, 3), 255, np.uint8))
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'white.png')))
    boxes = [[30, 30, 60, 60], [31, 30, 61, 60], [32, 31, 60, 60], [90, 30, 99, 60], [0, 0, 5, 5]]
    sample.gt_instances = instances(boxes, [0] * 5)
    sample.pred_instances = instances(boxes, [0] * 5, [0.9, 0.8, 0.7, 0.6, 0.5])
    canvases = []
    monkeypatch.setattr(pictures, '_write_small', lambda canvas, path: canvases.append(canvas))
    draw_detections([sample], ['a_class_with_a_long_name'], tmp_path / 'out.png')
    (canvas,) = canvases
    canvas.draw()
    for axes in canvas.figure.axes:
        backs = [text.get_bbox_patch().get_window_extent() for text in axes.texts]
        assert len(backs) == 5
        for number, back in enumerate(backs):
            assert axes.get_window_extent().padded(1).containsx(back.x1)
            assert not any(back.overlaps(other) for other in backs[:number])


def test_images_fill_rows_of_their_own_height(tmp_path, monkeypatch):
    samples = []
    for height, width in ((100, 200), (100, 80)):
        path = str(tmp_path / f'{width}.png')
        cv2.imwrite(path, np.full((height, width, 3), 255, np.uint8))
        samples.append(DetDataSample(metainfo=dict(img_path=path)))
        samples[-1].pred_instances = instances([[10, 10, 40, 40]], [0], [0.9])
    canvases = []
    monkeypatch.setattr(pictures, '_write_small', lambda canvas, path: canvases.append(canvas))
    draw_detections(samples, ['a'], tmp_path / 'out.png')
    (canvas,) = canvases
    canvas.draw()
    wide, _, high, _ = canvas.figure.axes
    boxes = [axes.get_window_extent() for axes in (wide, high)]
    for box, ratio in zip(boxes, (0.5, 1.25)):
        assert abs(box.height / box.width - ratio) < 0.01
        assert box.width > 0.47 * canvas.figure.bbox.width
    titles = [axes.title.get_window_extent() for axes in (wide, high)]
    assert boxes[0].y0 > titles[1].y1 and titles[1].y0 > boxes[1].y1
    (legend,) = canvas.figure.legends
    assert legend.get_window_extent().y0 > titles[0].y1


def drawn(tmp_path):
    cv2.imwrite(str(tmp_path / 'image.jpg'), np.zeros((8, 8, 3), np.uint8))
    sample = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'image.jpg')))
    sample.pred_instances = instances([[1, 1, 4, 4]], [0], [0.9])
    return [sample], ['a']


@pytest.mark.parametrize(
    ('name', 'draw'),
    [
        ('a.png', lambda path: draw_detections(*drawn(path.parent), path)),
        ('a.pdf', lambda path: draw_detections(*drawn(path.parent), path)),
        ('a.png', lambda path: plot_ap_by_frequency([], path)),
        ('a.svg', lambda path: plot_reliability({}, path)),
        ('a.png', lambda path: draw_class_attention([np.ones((2, 2, 3))], [[[1]]], 'a', path)),
        ('a.png', lambda path: draw_features({'a': (np.ones((1, 2)), [0])}, 'a', path)),
    ],
)
def test_on_a_full_disk_a_picture_stays_what_it_was(tmp_path, monkeypatch, name, draw):
    path = tmp_path / name
    draw(path)
    assert path.stat().st_size > 500
    path.write_text('old')

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'replace', refuse)
    with pytest.raises(UserError, match='cannot be written: No space left'):
        draw(path)
    assert path.read_text() == 'old'
    assert not list(tmp_path.glob('*.part'))
