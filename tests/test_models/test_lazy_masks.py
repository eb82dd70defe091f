"""Masks pasted on reading: the stock masks, bit for bit, pasted no sooner than they are read."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import DumpDetResults
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from torch import Tensor

from lt_det.evaluation import predictions
from lt_det.evaluation.predictions import encode_masks
from lt_det.models.roi_heads import ClassIndexedMaskHead, lazy_masks
from lt_det.models.roi_heads.lazy_masks import LazyMasks

NUMBER, HEIGHT, WIDTH = 12, 60, 90
META = dict(ori_shape=(HEIGHT, WIDTH), img_shape=(78, 108), scale_factor=(1.2, 1.3))
TEST_CFG = ConfigDict(mask_thr_binary=0.5)


def boxes() -> Tensor:
    torch.manual_seed(1)
    corner = torch.rand(NUMBER, 2) * torch.tensor([90.0, 60.0])
    found = torch.cat([corner, corner + torch.rand(NUMBER, 2) * 40], 1)
    found[0, 2:] = found[0, :2]  # without area
    found[1] = torch.tensor([-5.0, -5.0, 200.0, 200.0])  # beyond the image
    return found


def predict(head_type: type, logits: Tensor, rescale: bool = True) -> InstanceData:
    head = head_type(num_convs=0, in_channels=2, conv_out_channels=2, class_agnostic=True)
    scores, labels = torch.linspace(1, 0.1, NUMBER), torch.arange(NUMBER) % 3
    instances = InstanceData(bboxes=boxes(), scores=scores, labels=labels)
    return head.predict_by_feat([logits], [instances], [META], TEST_CFG, rescale=rescale)[0]


@pytest.fixture
def logits() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(NUMBER, 1, 28, 28)


@pytest.fixture
def lazy(logits) -> InstanceData:
    return predict(ClassIndexedMaskHead, logits)


@pytest.fixture
def expected(logits) -> Tensor:
    return predict(FCNMaskHead, logits).masks


@pytest.fixture
def pasted(monkeypatch) -> list[int]:
    """Numbers of masks in the calls that paste."""
    calls = []
    paste = lazy_masks._paste

    def count(probabilities, *args):
        calls.append(len(probabilities))
        return paste(probabilities, *args)

    monkeypatch.setattr(lazy_masks, '_paste', count)
    return calls


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('at_once', [1, 3 * HEIGHT * WIDTH, 2**25])
def test_rles_equal_stock(logits, rescale, at_once, monkeypatch, pasted):
    stock = predict(FCNMaskHead, logits, rescale).masks
    lazy = predict(ClassIndexedMaskHead, logits, rescale).masks
    monkeypatch.setattr(predictions, '_PIXELS_AT_ONCE', at_once)
    rows = np.array([7, 0, 1, 5])
    full = [mask_utils.encode(np.asfortranarray(mask, np.uint8)) for mask in stock.numpy()]
    assert encode_masks(lazy, rows) == [full[row] for row in rows]
    assert sum(pasted) == len(rows)
    assert max(pasted) == max(min(len(rows), at_once // lazy[0].numel()), 1)
    assert encode_mask_results(lazy.numpy()) == full


def test_chosen_masks_stay_lazy(lazy, expected, pasted):
    masks = lazy.masks
    assert isinstance(masks, Tensor)
    assert len(masks) == masks.size(0) == NUMBER
    assert (masks.shape, masks.dtype, masks.device) == (expected.shape, torch.bool, expected.device)
    visible = lazy.scores > 0.8
    for rows in (slice(2, 5), visible, torch.tensor([3, 3, 0]), [1, 4], np.array([2])):
        chosen = masks[rows]
        assert type(chosen) is LazyMasks and not pasted
        assert torch.equal(chosen.cpu(), expected[rows])
        pasted.clear()
    chosen = lazy[visible].cpu()
    assert pasted == [visible.sum()]
    assert torch.equal(chosen.masks, expected[visible])
    assert torch.equal(masks[-1], expected[-1])
    assert pasted[1:] == [1]


def test_they_are_a_tensor_to_all_others(lazy, expected, pasted):
    masks = lazy.masks
    array = expected.numpy()
    for found in (masks.numpy(), np.asarray(masks), masks.detach().cpu().numpy()):
        np.testing.assert_array_equal(found, array)
    for found in (
        torch.cat([masks, masks])[NUMBER:],
        torch.stack(list(masks)),
        masks.to(torch.uint8).bool(),
        masks.clone(),
        masks[:, :],
        copy.deepcopy(masks),
        pickle.loads(pickle.dumps(masks)),
        InstanceData.cat([lazy, lazy])[:NUMBER].masks,
        lazy.to('cpu').masks,
    ):
        assert type(found) is Tensor
        assert torch.equal(found, expected)
    assert masks.sum() == expected.sum()
    assert (masks == expected).all()
    assert repr(masks) == repr(expected)
    assert pasted == [NUMBER]  # once
    with pytest.raises(IndexError):
        masks[NUMBER]


def test_result_files_and_pictures_have_all_masks(lazy, expected):
    sample = DetDataSample(metainfo=dict(img_id=1, **META), pred_instances=lazy)
    dump = DumpDetResults('results.pkl')
    dump.process({}, [sample.to_dict()])
    (result,) = dump.results
    assert result['pred_instances']['masks'] == encode_mask_results(expected.numpy())

    def picture(masks: Tensor) -> np.ndarray:
        np.random.seed(0)  # the visualizer varies the colours
        visualizer = DetLocalVisualizer()
        visualizer.dataset_meta = dict(classes=list('abc'), palette=[(9, 9, 9)] * 3)
        drawn = sample.clone()
        drawn.pred_instances.masks = masks
        image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        visualizer.add_datasample('a', image, drawn, draw_gt=False, pred_score_thr=0.3)
        return visualizer.get_image()

    np.testing.assert_array_equal(picture(lazy.masks), picture(expected))


def test_no_detections():
    masks = LazyMasks(torch.zeros(0, 1, 28, 28), torch.zeros(0, 4), (HEIGHT, WIDTH), 0.5)
    assert masks.numpy().shape == (0, HEIGHT, WIDTH)
    assert encode_masks(masks, np.zeros(0, dtype=np.int64)) == []
