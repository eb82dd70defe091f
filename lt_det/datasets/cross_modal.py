"""Classification data whose images come with words, some of them or all."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS

from ..errors import BadInputError
from ..formats.word_file import check_vocabulary, read_vocabulary, read_word_file, word_counts
from ..values import check_values
from .list_file_dataset import ListFileDataset


@DATASETS.register_module()
class CrossModalDataset(ListFileDataset):
    """Images, labels and words: a list file, and a file of words for any share of its images.

    A line of the word file is "relative/path<TAB>word<TAB>word"; a word may contain spaces. An
    image has words as indices ``words`` (n,) int64, ascending; n = 0 where it has none. Put them
    into the sample with ``dict(type='PackInputs', algorithm_keys=('words',))``.

    Args:
        ann_file: The list file, below ``data_root``.
        vocabulary: V words, or a file with a word per line.
        word_file: The file of words, below ``data_root``. None: no image has words.
        unknown_words: ``'error'``, or ``'skip'`` to leave out words that the vocabulary does not
            have; their number is logged.
        described: Share of the images with words that keep them, in [0, 1].
        seed: Which ones.
        **kwargs: Those of :class:`ListFileDataset`.

    Raises:
        MissingFileError: A file does not exist.
        BadInputError: The word file describes an image that the list does not have, has a word that
            the vocabulary does not have, or the vocabulary is empty.
    """

    def __init__(
        self,
        ann_file: str,
        vocabulary: str | Sequence[str],
        word_file: str | None = None,
        unknown_words: str = 'error',
        described: float = 1.0,
        seed: int = 0,
        **kwargs,
    ) -> None:
        check_values(
            'CrossModalDataset',
            described=(described, 'a number in [0, 1]'),
            seed=(seed, 'a whole number >= 0'),
        )
        self.vocabulary = (
            read_vocabulary(vocabulary)
            if isinstance(vocabulary, str)
            else check_vocabulary(vocabulary)
        )
        self.word_file = word_file
        self.unknown_words = unknown_words
        self.described = described
        self.seed = seed
        super().__init__(ann_file, **kwargs)

    def load_data_list(self) -> list[bytes]:
        """The N lines, each behind the indices of its words and a tab."""
        lines = super().load_data_list()
        words = self._read_words(lines) if self.word_file else [()] * len(lines)
        return [
            b'%s\t%s' % (b' '.join(b'%d' % word for word in of_image), line)
            for of_image, line in zip(words, lines, strict=True)
        ]

    def get_data_info(self, idx: int) -> dict:
        """``img_path``, ``gt_label``, ``sample_idx`` and ``words`` (n,) of an item."""
        return dict(super().get_data_info(idx), words=self.words_of(idx))

    def words_of(self, idx: int) -> np.ndarray:
        """Indices (n,) in the vocabulary of the words of an item."""
        self.full_init()
        # not _line of this class, which leaves them out
        words = super()._line(range(len(self))[idx]).split(b'\t', 1)[0]
        return np.array([int(word) for word in words.split()], np.int64)

    def word_statistics(self) -> tuple[np.ndarray, int]:
        """Images that have each word, (V,), and images that have any."""
        words = [self.words_of(index) for index in range(len(self))]
        return word_counts(words, len(self.vocabulary)), sum(map(bool, map(len, words)))

    def _line(self, idx: int) -> bytes:
        return super()._line(idx).split(b'\t', 1)[1]

    def _read_words(self, lines: list[bytes]) -> list[tuple[int, ...]]:
        path = self.word_file
        if self.data_root and not osp.isabs(path):
            path = osp.join(self.data_root, path)
        described = read_word_file(path, self.vocabulary, self.unknown_words)
        if described.skipped:
            print_log(f'{path}: {described.skipped} words are not in the vocabulary, left out')
        names = [line.rsplit(None, 1)[0].decode() for line in lines]
        strangers = described.words.keys() - set(names)
        if strangers:
            raise BadInputError(
                f'{path} describes {min(strangers)} ({len(strangers)} such images), which '
                f'{self.ann_file} does not list'
            )
        words = [described.words.get(name, ()) for name in names]
        with_words = np.flatnonzero([len(of_image) > 0 for of_image in words])
        keep = round(self.described * len(with_words))
        shuffled = np.random.default_rng(self.seed).permutation(with_words)
        for index in shuffled[keep:]:  # the images of a smaller share are among those of a larger
            words[index] = ()
        return words
