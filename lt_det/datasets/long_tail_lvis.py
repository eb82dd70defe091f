"""LVIS v1, LVIS v0.5 and every json in their format."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict

from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.dist import is_main_process
from mmengine.fileio import get_local_path

from ..annotation_file import read_annotation_file
from ..errors import BadInputError
from ..frequency import ClassFrequency
from .image_check import check_images


@DATASETS.register_module()
class LongTailLVISDataset(BaseDetDataset):
    """Detection data in LVIS format, with the federated annotation kept.

    Class names come from the file, in the order of category ids; ``metainfo=dict(classes=...)``
    selects some of them. An image is read from the last two parts of its ``coco_url``
    (``train2017/000000391895.jpg``: LVIS mixes both COCO folders), or from ``file_name`` if
    it has none, under ``data_prefix['img']``. Items, order and filters are those of MMDetection's
    LVISV1Dataset; each item also has ``neg_category_ids`` and ``not_exhaustive_category_ids``.

    Args:
        check_images: Whether to look at the first and last bytes of every image file at start.
        **kwargs: Those of BaseDetDataset.

    Attributes:
        class_frequency: ClassFrequency of the whole annotation file, filtered images included.

    Raises:
        MissingFileError: The annotation file or an image does not exist.
        BadInputError: The annotation file is not in the format, or an image is broken.
    """

    METAINFO = dict(palette='random')

    def __init__(
        self,
        *args,
        data_prefix: dict | None = None,
        check_images: bool = True,
        **kwargs,
    ) -> None:
        self.check_images = check_images
        super().__init__(*args, data_prefix={'img': '', **(data_prefix or {})}, **kwargs)

    def load_data_list(self) -> list[dict]:
        with get_local_path(self.ann_file, backend_args=self.backend_args) as local_path:
            content = read_annotation_file(local_path)
        categories = self._select(content['categories'])
        self.cat_ids = [category['id'] for category in categories]
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}
        self._metainfo['classes'] = tuple(category['name'] for category in categories)

        annotations = content['annotations']
        if len(categories) < len(content['categories']):
            annotations = [ann for ann in annotations if ann['category_id'] in self.cat2label]
        self.class_frequency = ClassFrequency.from_pairs(
            [annotation['image_id'] for annotation in annotations],
            [self.cat2label[annotation['category_id']] for annotation in annotations],
            len(categories),
            len(content['images']),
            self._metainfo['classes'],
        )
        annotations_of = defaultdict(list)
        for annotation in annotations:
            annotations_of[annotation['image_id']].append(annotation)
        self._annotated = set(annotations_of)
        return [
            self.parse_data_info(
                dict(raw_img_info=image, raw_ann_info=annotations_of.get(image['id'], []))
            )
            for image in content['images']
        ]

    def _select(self, categories: list[dict]) -> list[dict]:
        names = self._metainfo.get('classes')
        if names is None:
            return categories
        by_name = {category['name']: category for category in categories}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise BadInputError(
                f"metainfo['classes'] has {unknown[:5]}, which {self.ann_file} does not have"
            )
        return [by_name[name] for name in names]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """One item in the format of BaseDetDataset from the image and annotation records."""
        image = raw_data_info['raw_img_info']
        return dict(
            img_path=osp.join(self.data_prefix['img'], self._file_name(image)),
            img_id=image['id'],
            seg_map_path=None,
            height=image['height'],
            width=image['width'],
            neg_category_ids=image.get('neg_category_ids', []),
            not_exhaustive_category_ids=image.get('not_exhaustive_category_ids', []),
            instances=[
                self._instance(annotation)
                for annotation in raw_data_info['raw_ann_info']
                if _usable(annotation, image)
            ],
        )

    def _file_name(self, image: dict) -> str:
        if 'coco_url' in image:
            return '/'.join(image['coco_url'].split('/')[-2:])
        if 'file_name' in image:
            return image['file_name']
        raise BadInputError(
            f'annotation file {self.ann_file}: image {image["id"]} has no coco_url or file_name'
        )

    def _instance(self, annotation: dict) -> dict:
        x, y, w, h = annotation['bbox']
        instance = dict(
            ignore_flag=int(bool(annotation.get('iscrowd', False))),
            bbox=[x, y, x + w, y + h],
            bbox_label=self.cat2label[annotation['category_id']],
        )
        if annotation.get('segmentation'):
            instance['mask'] = annotation['segmentation']
        return instance

    def filter_data(self) -> list[dict]:
        """Drop images without any annotation or smaller than ``min_size``, as MMDetection does."""
        if not self.test_mode and self.filter_cfg is not None:
            keep_empty = not self.filter_cfg.get('filter_empty_gt', False)
            min_size = self.filter_cfg.get('min_size', 0)
            self.data_list = [
                item
                for item in self.data_list
                if (keep_empty or item['img_id'] in self._annotated)
                and min(item['width'], item['height']) >= min_size
            ]
        if not self.data_list:
            raise BadInputError(
                f'no image of {self.ann_file} is left to use (filter_cfg={self.filter_cfg})'
            )
        if self.check_images and self.backend_args is None and is_main_process():
            check_images([item['img_path'] for item in self.data_list], str(self.ann_file))
        return self.data_list


def _usable(annotation: dict, image: dict) -> bool:
    """Whether MMDetection would train on an annotation: not ignored, at least a pixel, inside."""
    x, y, w, h = annotation['bbox']
    inside_w = min(x + w, image['width']) - max(x, 0)
    inside_h = min(y + h, image['height']) - max(y, 0)
    return (
        not annotation.get('ignore', False)
        and inside_w > 0
        and inside_h > 0
        and annotation['area'] > 0
        and w >= 1
        and h >= 1
    )
