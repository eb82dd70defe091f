"""Words that describe images: a line "relative/path<TAB>word<TAB>word" per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInputError, MissingFileError
from .files import whole_file
from .text_file import read_text

UNKNOWN = ('error', 'skip')


@dataclass(frozen=True)
class DescribedImages:
    """What a word file says.

    Attributes:
        words: Sorted indices in the vocabulary, by path of the image.
        skipped: How often a word was left out because the vocabulary does not have it.
    """

    words: dict[str, tuple[int, ...]]
    skipped: int


def read_vocabulary(path: str | Path) -> list[str]:
    """V words, one per line; a word may contain spaces.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: It has no word, or one twice.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f'vocabulary {path} does not exist')
    lines = read_text(path).split('\n')
    return check_vocabulary([line.strip() for line in lines if line.strip()], path)


def check_vocabulary(words: Sequence[str], origin: str | Path = 'vocabulary') -> list[str]:
    """The words, or an error if there is none or one comes twice."""
    if not words:
        raise BadInputError(f'{origin} is empty, expected a word per line')
    word, times = Counter(words).most_common(1)[0]
    if times > 1:
        raise BadInputError(f"{origin} has '{word}' {times} times, expected every word once")
    return list(words)


def read_word_file(
    path: str | Path, vocabulary: Sequence[str], unknown: str = 'error'
) -> DescribedImages:
    """Read the words of images; the order of words and how often one comes do not count.

    Args:
        path: The file. An image without a line, or with nothing behind its path, has no words.
        vocabulary: V words.
        unknown: ``'skip'`` leaves out words that are not in the vocabulary and counts them,
            ``'error'`` refuses them.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: An unknown word, or an image twice; names the line.
    """
    path = Path(path)
    if unknown not in UNKNOWN:
        raise BadInputError(f"unknown_words is '{unknown}', expected one of {UNKNOWN}")
    if not path.is_file():
        raise MissingFileError(f'word file {path} does not exist')
    index = {word: i for i, word in enumerate(vocabulary)}
    described: dict[str, tuple[int, ...]] = {}
    skipped = 0
    for number, line in enumerate(read_text(path).split('\n'), 1):
        name, *words = (part.strip() for part in line.split('\t'))
        if not name:
            continue
        if name in described:
            raise BadInputError(f'{path}:{number} describes {name}, as an earlier line does')
        known = {index[word] for word in words if word in index}
        if unknown == 'error' and not index.keys() >= set(words) - {''}:
            word = next(word for word in words if word and word not in index)
            raise BadInputError(
                f"{path}:{number} has the word '{word}', which is not among the "
                f"{len(index)} of the vocabulary; unknown_words='skip' leaves such words out"
            )
        skipped += sum(word not in index for word in words if word)
        described[name] = tuple(sorted(known))
    return DescribedImages(described, skipped)


def write_word_file(path: str | Path, rows: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Write a line per (path of the image, words); the file is there whole or not at all."""
    with whole_file(path) as part, part.open('w', encoding='utf-8') as file:
        for name, words in rows:
            file.write('\t'.join([name, *words]) + '\n')


def word_counts(descriptions: Iterable[Sequence[int]], num_words: int) -> np.ndarray:
    """Images that have each word, (V,) int64."""
    flat = [word for words in descriptions for word in words]
    return np.bincount(np.array(flat, np.int64), minlength=num_words)
