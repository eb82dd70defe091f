import numpy as np
import pytest
from pycocotools import mask as mask_utils

from lt_det import forks
from lt_det.formats import coded_masks
from lt_det.formats.coded_masks import CodedMasks, take_masks


@pytest.mark.parametrize('processes', [1, 3])
def test_masks_are_those_that_were_given(processes, monkeypatch):
    monkeypatch.setattr(coded_masks, '_BLOCK', 3)
    monkeypatch.setattr(coded_masks, '_MANY_BLOCKS', 1)
    monkeypatch.setattr(forks, 'num_processes', lambda: processes)
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 40, (10, 2))
    given = [mask_utils.encode(np.asfortranarray(rng.random(s) < 0.4, np.uint8)) for s in sizes]
    codes = [mask['counts'] for mask in given]
    lengths = np.array([len(code) for code in codes])
    masks = CodedMasks(np.frombuffer(b''.join(codes), np.uint8), lengths, sizes)
    assert list(masks) == [masks[i] for i in range(len(masks))] == given
    assert masks.areas.tolist() == mask_utils.area(given).tolist()
    rows = np.array([7, 7, 0, 3])
    for taken in (take_masks(masks, rows), take_masks(given, rows)):
        assert list(taken) == [given[row] for row in rows]
    assert masks.take(rows).areas.tolist() == masks.areas[rows].tolist()


def test_codes_of_other_sizes_have_no_area():
    code = mask_utils.encode(np.zeros((4, 4), np.uint8, order='F'))['counts']
    codes = np.frombuffer(code * 2, np.uint8)
    masks = CodedMasks(codes, np.array([len(code)] * 2), np.array([[4, 4], [4, 5]]))
    assert masks.areas.tolist() == [0, -1]
