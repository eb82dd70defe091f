"""Classification data from a list file, kept as the text it was read from."""

from __future__ import annotations

import gc
import os.path as osp
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..errors import BadInputError, MissingFileError
from ..formats.list_file import line_number, read_list_file
from ..formats.text_file import read_utf8
from ..frequency import ClassFrequency
from .class_names import check_class_names, read_class_names, with_class_names
from .image_check import MISSING, inspect_images


@DATASETS.register_module()
class ListFileDataset(BaseDataset):
    """Images and labels of a list file, a line "relative/path label" each.

    The format of ImageNet-LT, Places-LT and iNaturalist 2018. The lines themselves are what worker
    processes share; an item is parsed when it is asked for (437,513 lines: under a second).

    Args:
        ann_file: The list file, below ``data_root``.
        num_classes: C. Classes are then named '0', '1', ...
        classes: Their names instead, or a file with a name per line.
        check_images: Whether to look at every image file at start, without decoding it. ``lt_det``
            looks in any case whether the first ones exist.
        **kwargs: Those of MMPretrain's BaseDataset: ``data_root``, ``data_prefix``, ``pipeline``,
            ``indices``, ``test_mode``, ...

    Raises:
        MissingFileError: The list, the file of class names or an image does not exist.
        BadInputError: A line has no label or one that is not in 0..C-1, or an image is cut off;
            names the list and the line. Or a class has no name, or that of another.
    """

    def __init__(
        self,
        ann_file: str,
        num_classes: int | None = None,
        classes: str | Sequence[str] | None = None,
        check_images: bool = False,
        metainfo: dict | None = None,
        lazy_init: bool = False,
        **kwargs,
    ) -> None:
        if isinstance(classes, str | Path):
            path = Path(classes).expanduser()
            if not path.is_file():
                raise MissingFileError(f'file of class names {classes} does not exist')
            classes = read_class_names(path)
        if classes is None and not (metainfo or {}).get('classes'):
            if num_classes is None:
                raise BadInputError(f'the data set of {ann_file} needs num_classes or classes')
            classes = [str(label) for label in range(num_classes)]
        self.check_images = check_images
        super().__init__(
            ann_file=ann_file, classes=classes, metainfo=metainfo, lazy_init=True, **kwargs
        )
        check_class_names(self.CLASSES, f'classes of the data set of {ann_file}')
        if num_classes not in (None, len(self.CLASSES)):
            raise BadInputError(
                f'the data set of {ann_file} has num_classes={num_classes}, but '
                f'{len(self.CLASSES)} class names'
            )
        self.serialize_data = True
        if not lazy_init:
            self.full_init()

    @classmethod
    def _load_metainfo(cls, metainfo: dict | None = None) -> dict:
        return super()._load_metainfo(with_class_names(metainfo))

    def load_data_list(self) -> list[bytes]:
        """The N lines; they become one array of bytes in :meth:`_serialize_data`."""
        lines, _ = read_list_file(self.ann_file, len(self.CLASSES))
        if self.check_images and is_main_process():
            self._check(lines)
        return lines

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of all lines and the end of each, the layout of MMEngine's pickled items."""
        ends = np.cumsum([len(line) for line in self.data_list])
        data = np.frombuffer(b''.join(self.data_list), np.uint8)
        self.data_list.clear()
        gc.collect()
        return data, ends

    def get_data_info(self, idx: int) -> dict:
        """``img_path``, ``gt_label`` and ``sample_idx`` of an item."""
        self.full_init()
        idx = range(len(self))[idx]
        name, label = self._line(idx).rsplit(None, 1)
        path = osp.join(self.img_prefix, name.decode(errors='surrogateescape'))
        return dict(img_path=path, gt_label=int(label), sample_idx=idx)

    def _line(self, idx: int) -> bytes:
        start = self.data_address[idx - 1] if idx else 0
        return self.data_bytes[start : self.data_address[idx]].tobytes()

    def place_of(self, idx: int) -> str:
        """The list and the line of an item, for messages."""
        lines = (line.strip() for line in read_utf8(self.ann_file).splitlines())
        text = self._line(range(len(self))[idx]).strip()
        number = next(number for number, line in enumerate(lines, 1) if line == text)
        return f'{self.ann_file}:{number}'

    def get_gt_labels(self) -> np.ndarray:
        """Labels (N,) in int64."""
        self.full_init()
        data, ends = self.data_bytes.tobytes(), self.data_address.tolist()
        starts = [0, *ends[:-1]]
        lines = (data[start:end] for start, end in zip(starts, ends, strict=True))
        return np.fromiter((int(line.rsplit(None, 1)[1]) for line in lines), np.int64, len(ends))

    @property
    def class_frequency(self) -> ClassFrequency:
        """Images a class of the items in use."""
        counts = np.bincount(self.get_gt_labels(), minlength=len(self.CLASSES))
        return ClassFrequency(counts, class_names=self.CLASSES)

    def _check(self, lines: list[bytes]) -> None:
        names = (line.rsplit(None, 1)[0].decode(errors='surrogateescape') for line in lines)
        paths = [osp.join(self.img_prefix, name) for name in names]
        files = inspect_images(paths)
        for index in np.flatnonzero(files.problem.astype(bool))[:1]:
            problem = files.problem[index]
            where = f'{self.ann_file}:{line_number(self.ann_file, int(index))}'
            raise (MissingFileError if problem == MISSING else BadInputError)(
                f'{where}: image {paths[index]} is {problem}: it {files.reason[index]}'
            )
