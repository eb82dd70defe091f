import numpy as np
import pytest
from hypothesis import given

from lt_det.errors import BadInputError, MissingFileError
from lt_det.evaluation.ground_truth import GroundTruth
from lt_det.evaluation.kept_detections import read_kept, write_kept
from lt_det.formats.segmentations import to_rle

from .diagnosis_cases import build, cases, make_case, seeds


def kinds_of(detections):
    """The same with boxes, and with compressed masks alone."""
    codes = [to_rle(mask, 40, 40) for mask in detections.segmentations]
    boxes, masks = (detections.take(np.arange(len(detections))) for _ in range(2))
    boxes.segmentations, masks.boxes, masks.segmentations = None, None, codes
    return {'bbox': boxes, 'segm': masks}


@pytest.mark.parametrize('noise', [0, 1e-9])  # boxes that are and are not of single precision
@cases
@given(seeds)
def test_what_is_read_is_what_was_written(tmp_path_factory, noise, seed):
    path = tmp_path_factory.mktemp('kept') / 'deep' / 'predictions.npz'
    truth, detections = build(*make_case(seed, 'lvis'))
    detections.boxes = detections.boxes + noise
    detections.score = detections.score + noise
    truth.frequency, truth.train_images = np.array(list('frcfr'), object), [1, None, 3, 4, 0]
    rng = np.random.default_rng(seed)
    images, categories = rng.random(truth.num_images) < 0.5, rng.random(truth.num_categories) < 0.5
    given_kinds = kinds_of(detections)
    write_kept(path, truth, images, categories, given_kinds)
    again = GroundTruth(truth.columns)
    before = again.frequency.tolist()
    kept = read_kept(path, again)
    assert again.frequency.tolist() == before
    kept.set_groups(again)
    assert again.frequency.tolist() == list('frcfr') and again.train_images == [1, None, 3, 4, 0]
    assert np.array_equal(kept.images, images) and np.array_equal(kept.categories, categories)
    assert [p.name for p in path.parent.iterdir()] == ['predictions.npz']
    for iou_type, expected in given_kinds.items():
        actual = kept.detections[iou_type]
        for name in ('image', 'category', 'score'):
            assert np.array_equal(getattr(actual, name), getattr(expected, name))
            assert getattr(actual, name).dtype == getattr(expected, name).dtype
        assert list(actual.segmentations or ()) == (expected.segmentations or [])
        assert (actual.boxes is None) == (expected.boxes is None)
        if expected.boxes is not None:
            assert np.array_equal(actual.boxes, expected.boxes)


def test_other_files_are_refused(tmp_path):
    truth, detections = build(*make_case(0, 'lvis'))
    path = tmp_path / 'predictions.npz'
    with pytest.raises(MissingFileError, match=r'predictions\.npz does not exist'):
        read_kept(path, truth)
    path.write_bytes(b'no archive')
    with pytest.raises(BadInputError, match=r'predictions\.npz cannot be read'):
        read_kept(path, truth)
    everything = np.ones(truth.num_images, bool), np.ones(truth.num_categories, bool)
    write_kept(path, truth, *everything, kinds_of(detections))
    case = make_case(0, 'lvis')[0]
    fewer = {**case, 'images': case['images'][1:]}
    fewer['annotations'] = [
        a for a in case['annotations'] if a['image_id'] != case['images'][0]['id']
    ]
    with pytest.raises(BadInputError, match='images that are not in'):
        read_kept(path, GroundTruth(fewer))
    more = {**case, 'categories': [*case['categories'], {'id': 9, 'name': 'x', 'frequency': 'r'}]}
    with pytest.raises(BadInputError, match='categories are not those of'):
        read_kept(path, GroundTruth(more))
