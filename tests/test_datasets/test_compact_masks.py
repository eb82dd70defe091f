"""Every operation against MMDetection's BitmapMasks."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks, mask_target
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch.utils._python_dispatch import TorchDispatchMode

from lt_det.datasets import CompactMasks, LongTailLVISDataset
from lt_det.errors import BadInputError

from ..conftest import ROOT
from ..generated_lvis import lvis_content

# the made-up file has everything that is dropped
pytestmark = pytest.mark.filterwarnings('ignore::lt_det.errors.DataWarning')

SIZES = [(37, 53), (240, 320), (301, 299)]


def results(height: int, width: int, number: int, seed: int = 0) -> dict:
    """Input of LoadAnnotations: polygons, run-length codes, objects out of and beyond the image."""
    rng = np.random.default_rng(seed)
    instances = []
    for i in range(number):
        centre = rng.random(2) * [width, height]
        points = centre + rng.normal(0, 0.2, (rng.integers(3, 9), 2)) * [width, height]
        if i % 5 == 4:
            points += 3 * width
        segmentation = [points.clip(-10).ravel().tolist()]
        if i % 3 == 1:
            segmentation.append((points / 2).ravel().tolist())
        if i % 7 == 3:
            counts = [int(width * height * share) for share in (0.2, 0.3, 0.1)]
            counts.append(width * height - sum(counts))
            segmentation = dict(size=[height, width], counts=counts)
        if i % 7 == 5:
            segmentation = [[1.0, 2.0]]  # too short for a polygon
        instances.append(dict(bbox=[0, 0, 5, 5], bbox_label=0, ignore_flag=0, mask=segmentation))
    return dict(instances=instances, ori_shape=(height, width), img_shape=(height, width))


def pair(height: int, width: int, number: int = 9, seed: int = 0):
    made = []
    for kind in ('LoadCompactAnnotations', 'LoadAnnotations'):
        load = TRANSFORMS.build(dict(type=kind, with_bbox=True, with_mask=True))
        made.append(load(results(height, width, number, seed)))
    np.testing.assert_array_equal(made[0]['gt_ignore_flags'], made[1]['gt_ignore_flags'])
    assert type(made[0]['gt_masks']) is CompactMasks
    return made[0]['gt_masks'], made[1]['gt_masks']


def assert_same(ours: BitmapMasks, theirs: BitmapMasks) -> None:
    assert len(ours) == len(theirs)
    assert (ours.height, ours.width) == (theirs.height, theirs.width)
    ours = pickle.loads(pickle.dumps(ours))
    assert ours.masks.dtype == theirs.masks.dtype
    np.testing.assert_array_equal(ours.masks, theirs.masks)


OPERATIONS = [
    lambda m: m,
    lambda m: m.rescale((133, 80)),
    lambda m: m.rescale(2.37),
    lambda m: m.rescale((1333, 640)),
    lambda m: m.resize((91, 40)),
    lambda m: m.resize((600, 701)),
    lambda m: m.flip('horizontal'),
    lambda m: m.flip('vertical'),
    lambda m: m.flip('diagonal'),
    lambda m: m.pad((m.height + 7, m.width + 11)),
    lambda m: m.pad((m.height + 7, m.width), pad_val=1),
    lambda m: m.crop(np.array([5, 9, 25, 33])),
    lambda m: m.crop(np.array([-5, 9, 2500, 33])),
    lambda m: m[np.array([3, 0, 3])],
    lambda m: m[2],
    lambda m: m[np.array([], dtype=int)],
    lambda m: m[np.arange(len(m)) % 2 == 0],
    lambda m: m.resize((50, 60), interpolation='bilinear'),
    lambda m: m.expand(400, 410, 7, 9),
    lambda m: m.translate((m.height, m.width), 5),
    lambda m: m.shear((m.height, m.width), 0.2),
    lambda m: m.rotate((m.height, m.width), 20),
    lambda m: type(m).cat([m, m]),
    lambda m: type(m)(m.masks, m.height, m.width),
    lambda m: type(m)(list(m.masks), m.height, m.width).flip(),
]


@pytest.mark.parametrize('size', SIZES)
def test_single_operations(size):
    for operation in OPERATIONS:
        ours, theirs = pair(*size)
        assert_same(operation(ours), operation(theirs))


def test_objects_stay_without_a_mask_whatever_is_done():
    marks = np.array([0, 1, 0, 1, 0, 0, 0, 1, 0], bool)
    expected = {13: [3, 0, 3], 14: [2], 15: [], 16: range(0, 9, 2), 22: [*range(9), *range(9)]}
    made_anew = (23, 24)
    for number, operation in enumerate(OPERATIONS):
        ours, theirs = pair(60, 50)
        ours = CompactMasks.from_segmentations(ours._segmentations, 60, 50, marks)
        result = operation(ours)
        assert_same(result, operation(theirs))
        if number not in made_anew:
            rows = list(expected.get(number, range(9)))
            assert pickle.loads(pickle.dumps(result)).maskless.tolist() == marks[rows].tolist()
    assert CompactMasks.cat([ours, pair(60, 50)[0]]).maskless.tolist() == [*marks, *[False] * 9]
    boxes = np.array([[0, 0, 9, 9]], np.float32)
    assert len(ours.crop_and_resize(boxes, (7, 7), np.array([2]))) == 1
    assert ours[~marks].to_tensor(torch.uint8, 'cpu').shape == (6, 60, 50)
    assert not pair(60, 50)[0].maskless.any()
    for read in (
        lambda: ours.to_tensor(torch.uint8, 'cpu'),
        lambda: ours.crop_and_resize(boxes, (7, 7), torch.tensor([1])),
    ):
        with pytest.raises(BadInputError, match='an instance without a mask came to a mask head'):
            read()


def test_chains_of_operations():
    rng = np.random.default_rng(0)
    for seed in range(40):
        ours, theirs = pair(*SIZES[seed % 3], seed=seed)
        for number in rng.integers(0, 13, 5):
            if 35 < min(ours.height, ours.width) < 600:
                ours, theirs = OPERATIONS[number](ours), OPERATIONS[number](theirs)
        assert_same(ours, theirs)


def test_sizes_of_resizing():
    rng = np.random.default_rng(1)
    ours, theirs = pair(64, 97, 3)
    for height, width in rng.integers(1, 900, (60, 2)).tolist():
        assert_same(ours.resize((height, width)), theirs.resize((height, width)))


def test_no_objects():
    ours, theirs = pair(40, 50, 0)
    for operation in OPERATIONS[1:13]:
        assert_same(operation(ours), operation(theirs))
    for masks in (ours, theirs):
        assert masks.crop_and_resize(np.zeros((0, 4), np.float32), (28, 28), []).masks.size == 0


def test_what_is_written_into_masks_stays():
    ours, theirs = pair(40, 50)
    for masks in (ours, theirs):
        masks.masks[1, 3:5, 30:] = 1
    assert_same(ours.flip(), theirs.flip())
    ours.masks = ours.masks[:2]
    assert_same(ours.rescale(2.0), theirs[np.arange(2)].rescale(2.0))
    np.testing.assert_array_equal(ours.areas, theirs.areas[:2])
    assert ours.to_tensor(torch.uint8, 'cpu').shape == (2, 40, 50)
    assert repr(ours).startswith('CompactMasks(num_masks=2')


@pytest.mark.parametrize('binarize', [True, False])
@pytest.mark.parametrize('number', [1, 5, 30])
def test_mask_targets_are_bit_equal(number, binarize):
    rng = np.random.default_rng(number)
    ours, theirs = (masks.rescale((333, 200)).flip() for masks in pair(90, 133, number))
    boxes = rng.random((70, 4), np.float32) * 200
    boxes[:, 2:] += boxes[:, :2]
    assigned = rng.integers(0, number, 70)
    config = ConfigDict(mask_size=28, soft_mask_target=not binarize)
    found = [
        mask_target([torch.from_numpy(boxes)], [torch.from_numpy(assigned)], [masks], config)
        for masks in (ours, theirs)
    ]
    assert torch.equal(*found)
    assert found[0].any()


class Traffic(TorchDispatchMode):
    """Counts the copies to the device 'meta' and those back, which are zeros there."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.received = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.ops.aten._to_copy.default:
            goal = torch.device(kwargs.get('device') or args[0].device)
            if args[0].is_meta and goal.type == 'cpu':
                self.received += 1
                return torch.zeros(args[0].shape, dtype=args[0].dtype)
            if goal.type == 'meta' and not args[0].is_meta:
                self.sent.append(args[0].nbytes)
        return function(*args, **kwargs)


def test_mask_targets_wait_for_the_device_once_and_send_it_the_crops_alone():
    """What depends on values of the device would raise on the device 'meta'."""
    size, number = (400, 300), 30
    masks = [[[x, x, x + 20, x, x + 20, x + 10]] for x in range(number)]
    masks = CompactMasks.from_segmentations(masks, *size)
    area = sum(pixels.size for _, _, pixels in masks.crops)
    boxes = np.random.default_rng(0).random((70, 4), np.float32) * 200
    with Traffic() as traffic:
        targets = masks.crop_and_resize(boxes, (28, 28), np.arange(70) % number, 'meta')
    assert targets.masks.shape == (70, 28, 28)
    assert traffic.received == 1
    assert sum(traffic.sent) == area + 70 * 4 * 4 + 2 * 70 * 8  # boxes, and numbers of objects


def build_pipeline(config: list, kind: str) -> list:
    steps = [
        {**step, 'type': kind} if step['type'] == 'LoadCompactAnnotations' else step
        for step in config
    ]
    assert steps != config or kind == 'LoadCompactAnnotations'
    with DefaultScope.overwrite_default_scope('mmdet'):
        return [TRANSFORMS.build(step) for step in steps]


@pytest.mark.parametrize('name', ['train', 'val'])
@pytest.mark.parametrize('config', ['lvis_v1_instance', 'glyphs_instance'])
def test_pipelines_of_the_configs_give_the_same_samples(tmp_path, config, name):
    content = lvis_content(num_images=12, seed=5)
    for annotation in content['annotations']:
        annotation['segmentation'] = annotation.get('segmentation') or [[1, 1, 9, 2, 7, 9]]
    (tmp_path / 'train2017').mkdir()
    for image in content['images']:
        pixels = np.full((image['height'], image['width'], 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / 'train2017' / f'{image["id"]:012d}.jpg'), pixels)
    path = tmp_path / 'generated.json'
    path.write_text(json.dumps(content))
    dataset = LongTailLVISDataset(
        ann_file=str(path), data_prefix=dict(img=str(tmp_path)), pipeline=[]
    )
    config = Config.fromfile(ROOT / f'configs/_base_/datasets/{config}.py')
    steps = config[f'{name}_dataloader'].dataset.pipeline
    found = []
    for kind in ('LoadCompactAnnotations', 'LoadAnnotations'):
        np.random.seed(0)
        pipeline = build_pipeline(steps, kind)
        samples = []
        for index in range(len(dataset)):
            item = dataset.get_data_info(index)
            for step in pipeline:
                item = step(item)
            samples.append(item)
        found.append(samples)
    for ours, theirs in zip(*found):
        assert torch.equal(ours['inputs'], theirs['inputs'])
        ours, theirs = ours['data_samples'], theirs['data_samples']
        assert ours.metainfo == theirs.metainfo
        for kind in ('gt_instances', 'ignored_instances'):
            mine, stock = getattr(ours, kind), getattr(theirs, kind)
            assert_same(mine.masks, stock.masks)
            assert torch.equal(mine.bboxes.tensor, stock.bboxes.tensor)
            assert torch.equal(mine.labels, stock.labels)
