"""The predictions of a classifier in a small file beside its ``metrics.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import BadInputError
from ...formats.arrays import read_arrays
from ...formats.files import whole_file

MOST_BINS = 10_000  # of a reliability diagram
_EXPECTED = {
    'label': ('i', ('N',)),
    'predicted': ('i', ('N',)),
    'confidence': ('f', ('N',)),
    'image': ('U', ('N',)),
    'name': ('U', ('C',)),
    'group': ('U', ('C',)),
    'train_images': ('i', ('C',)),
    'num_bins': ('i', ()),
    'shown?': ('i', ('M',)),
    'view?': ('S', ('M',)),
    'attention?': ('f', ('M', 'H', 'W')),
}


@dataclass
class Classified:
    """N images of C classes.

    Attributes:
        label, predicted: (N,) int64.
        confidence: (N,) float64, of the predicted class.
        image: (N,) str, paths; '' where an image is no file.
        name, group: (C,) str; groups are 'few', 'medium' or 'many'.
        train_images: (C,) int64.
        num_bins: Of the calibration error.
        shown: (M,) int64, numbers of images with a class activation map.
        view: (M,) bytes, what the network sees of each as JPEG.
        attention: (M, h, w) float16 in 0..1, where that is the predicted class.
    """

    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    image: np.ndarray
    name: np.ndarray
    group: np.ndarray
    train_images: np.ndarray
    num_bins: int
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    view: np.ndarray = field(default_factory=lambda: np.zeros(0, 'S1'))
    attention: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1), np.float16))

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return self.label == self.predicted

    def write(self, path: str | os.PathLike) -> None:
        """Write all as .npz, whole or not at all."""
        with whole_file(path) as part, open(part, 'wb') as file:
            np.savez_compressed(file, **vars(self))

    @classmethod
    def read(cls, path: str | os.PathLike) -> Classified:
        """Read a file of :meth:`write`.

        Raises:
            MissingFileError: There is none.
            BadInputError: It is another one.
        """
        values = read_arrays(path, _EXPECTED, 'predictions of a classifier')
        values['num_bins'] = int(values['num_bins'])
        known = len(values['name'])
        for name in ('label', 'predicted'):
            outside = values[name][(values[name] < 0) | (values[name] >= known)]
            if len(outside):
                raise BadInputError(f'{path}: {name} has {outside[0]}, expected 0..{known - 1}')
        unknown = set(values['group'].tolist()) - {'few', 'medium', 'many'}
        if unknown or not 1 <= values['num_bins'] <= MOST_BINS:
            raise BadInputError(
                f'{path}: group has {sorted(unknown)} beside few, medium and many, or num_bins is '
                f'{values["num_bins"]}, expected 1 to {MOST_BINS}'
            )
        return cls(**values)

    @classmethod
    def of(cls, metric: Any, dataset: Any) -> Classified:
        """What a LongTailAccuracy has evaluated last.

        Args:
            metric: The metric, in the main process.
            dataset: The data set that it has seen, in its order.
        """
        label, predicted, confidence = metric.predictions[:, :3].T
        info = getattr(dataset, 'get_data_info', lambda i: {})
        paths = [str(info(i).get('img_path') or '') for i in range(len(label))]
        return cls(
            label.astype(np.int64),
            predicted.astype(np.int64),
            confidence,
            np.array(paths, str),
            np.array([row['name'] for row in metric.per_class], str),
            np.array([row['frequency'] for row in metric.per_class], str),
            np.array([row['image_count'] for row in metric.per_class], np.int64),
            metric.num_bins,
        )
