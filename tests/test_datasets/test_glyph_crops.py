import cv2
import numpy as np
import pytest

from lt_det.datasets.glyphs import CROP_SIZES, GlyphFolderError, make_crops
from lt_det.datasets.glyphs.crops import plan_crops
from lt_det.errors import BadInputError
from lt_det.frequency import ClassFrequency


def test_lists_name_every_image_with_its_class(tiny_crops):
    recipe = CROP_SIZES['crops_tiny']
    train = ClassFrequency.from_annotation_file(tiny_crops / 'train.txt')
    assert sorted(train.image_count, reverse=True) == list(recipe.train_counts)
    val = ClassFrequency.from_annotation_file(tiny_crops / 'val.txt')
    assert val.image_count.tolist() == [recipe.val_count] * 8
    names = (tiny_crops / 'classes.txt').read_text().splitlines()
    assert len(names) == 8 and names == sorted(names)
    for split in ('train', 'val'):
        lines = (tiny_crops / f'{split}.txt').read_text().splitlines()
        images = [cv2.imread(str(tiny_crops / line.split()[0])) for line in lines]
        assert len(images) == recipe.num_images(split)
        assert {image.shape for image in images} == {(32, 32, 3)}
        assert min(image.std() for image in images) > 5


def test_same_seed_same_bytes_and_another_seed_another_order_of_classes(tiny_crops, tmp_path):
    again = make_crops(tmp_path / 'again', 'crops_tiny', progress=False, workers=1)
    for path in again.rglob('*.*'):
        assert path.read_bytes() == (tiny_crops / path.relative_to(again)).read_bytes()
    other = make_crops(tmp_path / 'other', 'crops_tiny', seed=1, progress=False)
    counts = [ClassFrequency.from_annotation_file(p / 'train.txt') for p in (again, other)]
    assert counts[0] != counts[1]


def test_comparison_size_has_100_classes_imbalance_100_and_all_groups():
    plan = plan_crops(CROP_SIZES['crops'])
    frequency = ClassFrequency(plan.train_counts)
    assert frequency.num_classes == 100
    assert frequency.image_count.max() == 100 * frequency.image_count.min()
    groups, sizes = np.unique(frequency.groups('shot'), return_counts=True)
    assert list(groups) == ['few', 'many', 'medium'] and sizes.min() >= 15


def test_complete_folder_is_reused_and_another_refused(tmp_path):
    root = make_crops(tmp_path / 'crops', 'crops_tiny', progress=False)
    before = (root / 'train' / '000000000001.png').stat().st_mtime_ns
    assert make_crops(root, 'crops_tiny', progress=False) == root
    assert (root / 'train' / '000000000001.png').stat().st_mtime_ns == before
    with pytest.raises(GlyphFolderError, match=r'no complete crops .*seed 1.*--overwrite'):
        make_crops(root, 'crops_tiny', seed=1, progress=False)
    make_crops(root, 'crops_tiny', seed=1, progress=False, overwrite=True)
    with pytest.raises(BadInputError, match="must be one of .*'crops_tiny'.*, got 'big'"):
        make_crops(tmp_path / 'new', 'big')
