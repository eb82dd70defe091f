"""Lists, words, names of classes, vectors and ids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .. import documented, files
from ..breaking import broken_json, broken_lines
from ..documented import REFUSED
from .outcome import Subject, agree, expected, outcome


def check_list_file(folder: Path, data: bytes) -> None:
    from lt_det.datasets import ListFileDataset
    from lt_det.formats.list_file import read_list_file

    path = folder / 'list.txt'
    path.write_bytes(data)
    wanted = expected(documented.list_file, data, 4)

    def read() -> list:
        lines, labels = read_list_file(path, 4)
        names = [line.rsplit(None, 1)[0].decode(errors='surrogateescape') for line in lines]
        return list(zip(names, labels.tolist()))

    def items() -> list:
        dataset = ListFileDataset(str(path), num_classes=4, pipeline=[])
        found = [dataset.get_data_info(index) for index in range(len(dataset))]
        agree(dataset.get_gt_labels().tolist(), [i['gt_label'] for i in found], 'labels')
        return [(item['img_path'], item['gt_label']) for item in found]

    agree(outcome(read), wanted, 'read_list_file')
    agree(outcome(items), wanted, 'ListFileDataset')


def check_words(folder: Path, data: bytes) -> None:
    from lt_det.formats.word_file import read_word_file

    path = folder / 'words.txt'
    path.write_bytes(data)
    found = outcome(lambda: read_word_file(path, files.WORDS).words)
    agree(found, expected(documented.word_file, data, files.WORDS), 'read_word_file')
    outcome(read_word_file, path, files.WORDS, 'skip')


def check_vocabulary(folder: Path, data: bytes) -> None:
    from lt_det.formats.word_file import read_vocabulary

    path = folder / 'vocabulary.txt'
    path.write_bytes(data)
    found = outcome(read_vocabulary, path)
    agree(found, expected(documented.vocabulary, data), 'read_vocabulary')


def check_class_names(folder: Path, data: bytes) -> None:
    from lt_det.datasets.class_names import load_class_names

    (folder / 'names.txt').write_bytes(data)
    found = outcome(load_class_names, folder / 'names.txt')
    agree(found, expected(documented.class_names, data), 'load_class_names')


def check_categories(folder: Path, data: bytes) -> None:
    from lt_det.datasets.class_names import load_class_names

    (folder / 'names.json').write_bytes(data)
    found = outcome(load_class_names, folder / 'names.json')
    agree(found, expected(documented.categories, data), 'load_class_names')


def check_word_vectors(folder: Path, data: bytes) -> None:
    from lt_det.models.layers.word_vectors import read_word_vectors

    (folder / 'vectors.txt').write_bytes(data)
    words = ['red', 'green', 'sky', 'none']
    wanted = expected(documented.word_vectors, data, words, 3)
    if wanted != REFUSED:
        wanted = np.array([[math.nan] * 3 if row is None else row for row in wanted], np.float32)
    found = outcome(lambda: read_word_vectors(str(folder / 'vectors.txt'), words, 3).numpy())
    agree(found, wanted, 'read_word_vectors')


def check_image_ids(folder: Path, data: bytes) -> None:
    from lt_det.cli.evaluate import read_ids

    (folder / 'ids.txt').write_bytes(data)
    outcome(read_ids, str(folder / 'ids.txt'))


SUBJECTS = {
    'list file': Subject(broken_lines(files.list_file()), check_list_file),
    'word file': Subject(broken_lines(files.word_file()), check_words),
    'vocabulary': Subject(broken_lines(files.lines(files.WORDS)), check_vocabulary),
    'class names': Subject(broken_lines(files.lines(files.NAMES)), check_class_names),
    'class names of a json': Subject(
        broken_json({'categories': [{'id': 2, 'name': 'a'}, {'id': 1, 'name': 'b'}]}),
        check_categories,
    ),
    'word vectors': Subject(broken_lines(files.word_vectors()), check_word_vectors),
    'ids of images': Subject(broken_lines('1\n2\n3\n'), check_image_ids),
}
