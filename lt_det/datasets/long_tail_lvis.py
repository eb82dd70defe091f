"""LVIS v1, LVIS v0.5 and every json in their format."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

import mmcv
import numpy as np
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.dataset import force_full_init
from mmengine.dist import is_main_process
from mmengine.fileio import get_local_path, load
from mmengine.utils import is_abs

from ..errors import BadInputError
from ..formats.annotation_cache import load_columns
from ..formats.annotation_remarks import say
from ..formats.image_paths import find_image, require_names
from ..formats.restricted_pickle import INSTANCES, read_pickle
from ..frequency import ClassFrequency
from ..values import check_values
from .class_names import with_class_names
from .class_selection import select_categories
from .image_files import check_image_files
from .mask_loading import check_masks, ignores_maskless, image_loader, mask_loaders


@DATASETS.register_module()
class LongTailLVISDataset(BaseDetDataset):
    """Detection data in LVIS format, with the federated annotation kept.

    Class names come from the file, in the order of category ids; ``metainfo=dict(classes=...)``
    selects some of them. An image is looked for under ``data_prefix['img']``, by its ``file_name``
    and by the path of its ``coco_url`` (``train2017/000000391895.jpg``: LVIS mixes both COCO
    folders); :mod:`lt_det.formats.image_paths` has the rule. Items, order and filters are those of
    MMDetection's LVISV1Dataset; each item also has ``neg_category_ids`` and
    ``not_exhaustive_category_ids``.

    A large annotation file is parsed once, into ``<ann_file>.columns`` beside it (about its size);
    later starts, other ranks and data workers map that into memory. Items are made when asked for.

    Where the pipeline loads masks, an instance without one is ignored, or learned as a box where
    LoadCompactAnnotations has ``maskless='box'``. What is dropped, ignored or assumed is counted
    and said at start.

    Args:
        cache: Whether to keep and use those columns; False parses at every start.
        check_images: Whether to look at every image file at start, without decoding it: is it
            there, whole, and as the pipeline loads it of the size in the json.
        **kwargs: Those of BaseDetDataset.

    Attributes:
        class_frequency: ClassFrequency of the whole annotation file, filtered images included, and
            instances that the losses ignore as the pipeline cannot load their mask.
        columns: AnnotationColumns of the whole annotation file.

    Raises:
        MissingFileError: The annotation file or an image does not exist.
        BadInputError: The annotation file is not in the format, a mask that the pipeline would load
            is malformed, a class is not in the file, or an image is broken, not of the size in the
            json, or found where another one is.
    """

    METAINFO = dict(palette='random')
    _proposals: dict | None = None

    def __init__(
        self,
        *args,
        data_prefix: dict | None = None,
        cache: bool = True,
        check_images: bool = True,
        **kwargs,
    ) -> None:
        check_values(
            'dataset',
            cache=(cache, 'True or False'),
            check_images=(check_images, 'True or False'),
        )
        self.cache = cache
        self.check_images = check_images
        super().__init__(*args, data_prefix={'img': '', **(data_prefix or {})}, **kwargs)

    def full_init(self) -> None:
        """Load, filter and slice; ``data_list`` becomes image numbers, for items are made late."""
        self.serialize_data = False  # the columns are shared by processes as they are
        super().full_init()

    def load_data_list(self) -> np.ndarray:
        """(I,) numbers of all images of the annotation file."""
        with get_local_path(self.ann_file, backend_args=self.backend_args) as local_path:
            # a copy fetched from elsewhere is gone afterwards
            self.columns = load_columns(local_path, self.cache and self.backend_args is None)
        if not self.test_mode:
            self.columns.require_annotations()
        names = self.columns.category_names
        selected = select_categories(self._metainfo.get('classes'), names, self.ann_file)
        self._metainfo['classes'] = tuple(names[number] for number in selected)
        self.cat_ids = [self.columns.categories[number]['id'] for number in selected]
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}
        # label of each category of the file, -1 for those not selected
        self._label_of = np.full(len(names), -1)
        self._label_of[selected] = np.arange(len(selected))
        arrays = self.columns.arrays
        self.class_frequency = ClassFrequency(
            arrays['image_count'][selected],
            arrays['instance_count'][selected],
            self.columns.num_images,
            self._metainfo['classes'],
        )
        require_names(self.columns)
        self._check_masks()
        return np.arange(self.columns.num_images)

    def learned_annotations(self) -> np.ndarray:
        """(A,) bool, annotations that count in ``class_frequency``: usable, and no crowd."""
        arrays = self.columns.arrays
        return arrays['usable'] & ~arrays['crowd'] & (self._label_of[arrays['category']] >= 0)

    def _check_masks(self) -> None:
        """Refuse masks that cannot be loaded, and say what was left out of the file."""
        loaders = mask_loaders(self.pipeline)
        self._ignores_maskless = ignores_maskless(loaders)
        arrays = self.columns.arrays
        used = arrays['usable'] & (self._label_of[arrays['category']] >= 0)
        remarks = check_masks(self.columns, used, loaders, self.ann_file) if loaders else []
        if is_main_process():
            self.columns.say_remarks(training=not self.test_mode)
            for remark in remarks:
                say(self.ann_file, remark.text)

    @classmethod
    def _load_metainfo(cls, metainfo: dict | None = None) -> dict:
        return super()._load_metainfo(with_class_names(metainfo))

    def load_proposals(self) -> None:
        """Read ``proposal_file``: a dict from ``folder/name.jpg`` to the item's ``proposals``.

        A pickle, as DumpProposals of MMDetection writes it, is read without running code.
        """
        if not is_abs(self.proposal_file):
            self.proposal_file = osp.join(self.data_root, self.proposal_file)
        if self.proposal_file.endswith(('.pkl', '.pickle')):
            with get_local_path(self.proposal_file, backend_args=self.backend_args) as path:
                self._proposals = read_pickle(path, INSTANCES)
        else:
            self._proposals = load(self.proposal_file, backend_args=self.backend_args)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The item of an index in the format of BaseDetDataset, made from the columns."""
        image = int(self.data_list[idx])
        arrays = self.columns.arrays
        height, width = arrays['image_size'][image].tolist()
        path = self._img_path(image)
        item = dict(
            img_path=path,
            img_id=int(arrays['image_id'][image]),
            seg_map_path=None,
            height=height,
            width=width,
            neg_category_ids=self.columns.entry('neg_category_ids', image).tolist(),
            not_exhaustive_category_ids=self.columns.entry(
                'not_exhaustive_category_ids', image
            ).tolist(),
            instances=self._instances(image),
            sample_idx=idx if idx >= 0 else len(self) + idx,
        )
        if self.return_classes:
            item.update(
                text=self.metainfo['classes'],
                caption_prompt=self.caption_prompt,
                custom_entities=True,
            )
        if self._proposals is not None:
            item['proposals'] = self._proposals_of('/'.join(path.split('/')[-2:]))
        return item

    def _proposals_of(self, name: str) -> object:
        if not isinstance(self._proposals, dict) or name not in self._proposals:
            raise BadInputError(f'{self.proposal_file} has no proposals of {name}')
        return self._proposals[name]

    def _img_path(self, image: int) -> str:
        return find_image(*self.columns.image_names(image), self.data_prefix['img'])

    def _instances(self, image: int) -> list[dict]:
        arrays = self.columns.arrays
        first, last = arrays['annotation_start'][image : image + 2].tolist()
        labels = self._label_of[arrays['category'][first:last]]
        used = np.flatnonzero(arrays['usable'][first:last] & (labels >= 0))
        rows = used + first
        corners = arrays['bbox'][rows]
        corners[:, 2:] += corners[:, :2]
        instances = []
        for annotation, label, box, crowd in zip(
            rows.tolist(), labels[used].tolist(), corners.tolist(), arrays['crowd'][rows].tolist()
        ):
            instance = dict(ignore_flag=int(crowd), bbox=box, bbox_label=label)
            segmentation = self.columns.segmentation(annotation)
            if segmentation:
                instance['mask'] = segmentation
            elif self._ignores_maskless:
                instance.update(ignore_flag=1, mask=[[0.0] * 6])
            instances.append(instance)
        return instances

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of the instances of an item."""
        return self.all_cat_ids([idx])[1].tolist()

    @force_full_init
    def all_cat_ids(self, indices: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the instances of many items at once.

        Args:
            indices: Those items; by default all.

        Returns:
            (N,) positions in ``indices``, ascending, and (N,) labels.
        """
        return self._labels(indices, self.columns.arrays['usable'])

    @force_full_init
    def all_learned_cat_ids(
        self, indices: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same of the instances that count in ``class_frequency``."""
        return self._labels(indices, self.learned_annotations())

    def _labels(
        self, indices: Sequence[int] | None, used: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same of the annotations (A,) that are used."""
        images = np.asarray(self.data_list, np.int64)
        if indices is not None:
            images = images[np.asarray(indices, np.int64)]
        arrays = self.columns.arrays
        first = arrays['annotation_start'][images]
        counts = arrays['annotation_start'][images + 1] - first
        item = np.repeat(np.arange(len(images)), counts)
        before = np.cumsum(counts) - counts
        row = np.arange(len(item)) + (first - before)[item]
        label = self._label_of[arrays['category'][row]]
        kept = used[row] & (label >= 0)
        return item[kept], label[kept]

    def filter_data(self) -> np.ndarray:
        """Drop images without any annotation or smaller than ``min_size``, as MMDetection does."""
        arrays = self.columns.arrays
        keep = np.ones(self.columns.num_images, bool)
        if not self.test_mode and self.filter_cfg is not None:
            if self.filter_cfg.get('filter_empty_gt', False):
                selected = self._label_of[arrays['category']] >= 0
                before = np.concatenate([[0], np.cumsum(selected)])
                keep &= np.diff(before[arrays['annotation_start']]) > 0
            keep &= arrays['image_size'].min(1) >= self.filter_cfg.get('min_size', 0)
        kept = self.data_list[keep]
        if not len(kept):
            raise BadInputError(
                f'no image of {self.ann_file} is left to use (filter_cfg={self.filter_cfg})'
            )
        if self.check_images and is_main_process():
            self._check_images(kept)
        return kept

    def _check_images(self, images: np.ndarray) -> None:
        """Refuse image files that are missing, broken or of another size, where they are local."""
        loader = image_loader(self.pipeline)
        keys = ('backend_args', 'file_client_args')
        remote = [self.backend_args, *(getattr(loader, key, None) for key in keys)]
        folder = self.data_prefix['img']
        if any(remote) or '://' in folder:
            return
        color_type, backend = None, 'cv2'
        if loader is not None:
            color_type, backend = loader.color_type, loader.imdecode_backend
        backend = backend or mmcv.image.io.imread_backend
        for remark in check_image_files(self.columns, images, folder, color_type, backend):
            say(self.ann_file, remark.text)
