import pytest
from mmpretrain.utils import register_all_modules

from lt_det.datasets.class_subset import ClassSubsetDataset
from lt_det.errors import BadInputError


@pytest.fixture
def arguments(tmp_path):
    register_all_modules(init_default_scope=True)
    (tmp_path / 'list.txt').write_text('a/0.png 0\nb b/1.png 1\nc/2.png 2\nc/3.png 2\nd/4.png 3\n')
    return dict(data_root=str(tmp_path), ann_file='list.txt', classes=['a', 'b', 'c', 'd'])


def test_images_and_labels_of_the_remaining_classes(arguments, tmp_path):
    dataset = ClassSubsetDataset(left_out=[0, 3], **arguments)
    assert dataset.metainfo['classes'] == ('b', 'c')
    assert dataset.get_gt_labels().tolist() == [0, 1, 1]
    assert dataset.get_data_info(0)['img_path'] == str(tmp_path / 'b b/1.png')
    assert dataset.get_data_info(2)['gt_label'] == 1
    assert dataset.class_frequency.image_count.tolist() == [1, 2]
    assert len(ClassSubsetDataset(left_out=[], **arguments)) == 5


@pytest.mark.parametrize(
    ('left_out', 'message'), [([4], 'left_out has label 4, expected 0..3'), (range(4), 'has all 4')]
)
def test_bad_labels(left_out, message, arguments):
    with pytest.raises(BadInputError, match=message):
        ClassSubsetDataset(left_out=left_out, **arguments)
