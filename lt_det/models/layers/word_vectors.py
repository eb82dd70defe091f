"""Vectors of words: learned, from a text file, or from CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BadInputError, MissingFileError, listed
from ...values import check_values

SOURCES = ('learned', 'file', 'open_clip')


class WordTable(nn.Module):
    """The vectors (V, W) of V words, in the checkpoint: testing reads nothing else.

    Args:
        num_words: V.
        width: W.
        source: ``'learned'`` from random vectors; ``'file'``: a text file of vectors, as GloVe's
            (a line "word number number ..."); ``'open_clip'``: the text encoder of a CLIP model.
        path: The file.
        clip: The CLIP model: arguments of :func:`lt_det.models.open_clip.build_clip`.
        prompt: What CLIP reads of a word.
        missing: What happens to a word of which the file has no part: ``'error'``, or
            ``'random'`` for a random vector.
        train: Whether the vectors change in training; by default only learned ones.

    Raises:
        BadInputError: Unknown source, or an empty vocabulary.
    """

    def __init__(
        self,
        num_words: int,
        width: int = 300,
        source: str = 'learned',
        path: str | None = None,
        clip: dict | None = None,
        prompt: str = '{}',
        missing: str = 'error',
        train: bool | None = None,
    ) -> None:
        super().__init__()
        if num_words < 1:
            raise BadInputError(f'the vocabulary has {num_words} words, expected at least 1')
        check_values(
            'word_vectors',
            width=(width, 'a whole number >= 1'),
            source=(source, SOURCES),
            missing=(missing, ('error', 'random')),
        )
        if prompt.count('{}') != 1:
            raise BadInputError(
                f'word_vectors.prompt is {prompt!r}, expected one {{}} for the word'
            )
        self.source = source
        self.path = path
        self.clip = dict(clip or dict(name='ViT-B-16-quickgelu', pretrained='openai'))
        self.prompt = prompt
        self.missing = missing
        trains = source == 'learned' if train is None else train
        start = F.normalize(torch.randn(num_words, width), dim=1)
        self.weight = nn.Parameter(start, requires_grad=trains)

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    @torch.no_grad()
    def fill(self, vocabulary: Sequence[str]) -> None:
        """Read the vectors of V words from where they come from, each scaled to unit length.

        Raises:
            MissingFileError: There is no such file.
            BadInputError: Vectors of another width, or a word without one.
        """
        if self.source == 'learned':
            return
        if self.source == 'file':
            vectors = read_word_vectors(self.path, vocabulary, self.width)
        else:
            vectors = clip_word_vectors(self.clip, vocabulary, self.prompt)
        if vectors.shape[1] != self.width:
            raise BadInputError(
                f'word_vectors.width={self.width}, those of {self.clip["name"]} have '
                f'{vectors.shape[1]} numbers'
            )
        absent = torch.isnan(vectors).any(1)
        if absent.any() and self.missing == 'error':
            names = [word for word, gone in zip(vocabulary, absent.tolist()) if gone]
            raise BadInputError(
                f'{self.path} has no vector for {len(names)} words: {listed(names)}; '
                "word_vectors.missing='random' gives them random ones"
            )
        vectors = torch.where(absent[:, None], self.weight.cpu(), vectors)
        self.weight.copy_(F.normalize(vectors, dim=1))


def read_word_vectors(path: str | None, vocabulary: Sequence[str], width: int) -> Tensor:
    """Vectors (V, W) from a text file, a line "word number number ..." each.

    The vector of a word that consists of several ("green onion", "small_letter") is the mean over
    those that the file has; nan where it has none. Only lines that are wanted are parsed.

    Raises:
        MissingFileError: The file does not exist.
        BadInputError: A line has another number of numbers, or one not finite; names it.
    """
    if path is None or not Path(path).is_file():
        raise MissingFileError(f'file of word vectors {path} does not exist')
    parts = [word.lower().replace('_', ' ').replace('-', ' ').split() for word in vocabulary]
    wanted = {part for of_word in parts for part in of_word}
    try:
        # line by line: GloVe's file has gigabytes; a byte order mark is no part of the first word
        with open(path, encoding='utf-8-sig') as file:
            vectors = _wanted_vectors(file, wanted, width, path)
    except UnicodeDecodeError as error:
        raise BadInputError(f'{path}: not a text in UTF-8: {error}') from None
    rows = [[vectors[part] for part in of_word if part in vectors] for of_word in parts]
    blank = np.full(width, np.nan, np.float32)
    return torch.from_numpy(np.stack([np.mean(row, 0) if row else blank for row in rows]))


def _wanted_vectors(
    lines: Iterable[str], wanted: set[str], width: int, path: str
) -> dict[str, np.ndarray]:
    """Vectors (W,) of the words that are wanted."""
    vectors = {}
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition(' ')
        # a file of another width is told from its first line on, wanted or not
        if name not in wanted and number > 1:
            continue
        try:
            vector = np.array(rest.split(), np.float32)
        except ValueError:
            raise BadInputError(f'{path}:{number} is not a word and numbers') from None
        if len(vector) != width:
            raise BadInputError(
                f'{path}:{number} has {len(vector)} numbers, expected word_vectors.width={width}'
            )
        if not np.isfinite(vector).all():
            raise BadInputError(f'{path}:{number} has a number that is not finite')
        vectors[name] = vector
    return vectors


@torch.no_grad()
def clip_word_vectors(clip: dict, vocabulary: Sequence[str], prompt: str = '{}') -> Tensor:
    """Text features (V, W) of words, in CLIP's embedding (Radford et al., arXiv 2103.00020).

    Raises:
        BadInputError, MissingFileError: See :func:`lt_det.models.open_clip.build_clip`.
    """
    from ..open_clip import build_clip, build_tokenizer  # an optional package

    model = build_clip(**clip).eval()
    tokens = build_tokenizer(clip['name'], model.context_length)(
        [prompt.format(word) for word in vocabulary]
    )
    return torch.cat([model.encode_text(part).float() for part in tokens.split(256)])
