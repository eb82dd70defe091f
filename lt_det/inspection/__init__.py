"""What a person has in his annotation files and images, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import MissingFileError
from ..formats.annotation_columns import AnnotationColumns
from .advice import Advice, advise
from .annotations import has_masks, problems_of, protocol_of, read, repeated_names
from .classes import ClassSummary, summarize
from .images import problems_of_files
from .pair import problems_between
from .problems import Problem

__all__ = ['Inspection', 'Problem', 'inspect_files']


@dataclass(frozen=True)
class FileSummary:
    """What a file holds, what it is refused for left out.

    Args:
        protocol: By whose rules it is evaluated: 'lvis' or 'coco'.
        num_images, num_annotations, num_classes: Numbers.
    """

    protocol: str
    num_images: int
    num_annotations: int
    num_classes: int

    @classmethod
    def of(cls, columns: AnnotationColumns) -> FileSummary:
        num_annotations = len(columns.arrays['annotation_id'])
        num_classes = len(columns.categories)
        return cls(protocol_of(columns), columns.num_images, num_annotations, num_classes)


@dataclass(frozen=True)
class Inspection:
    """The answer of :func:`inspect_files`.

    Args:
        train, val, images, val_images: As given.
        classes: Statistics of the training file; None where it cannot be read.
        files: What 'train' and 'val' hold, of those that can be read.
        problems: What is refused, then what is lost otherwise, then the rest.
        advice: What to begin with; None without classes to train on.
    """

    train: str
    val: str | None
    images: str | None
    val_images: str | None
    classes: ClassSummary | None
    files: dict[str, FileSummary]
    problems: list[Problem]
    advice: Advice | None

    @property
    def status(self) -> int:
        """1 if something is refused, dropped, ignored or most likely wrong, else 0."""
        return int(any(problem.lost for problem in self.problems))

    def as_dict(self) -> dict:
        """For a json; see the help of ``lt_det inspect``."""
        return {
            'train': self.train,
            'val': self.val,
            'images': self.images,
            'val_images': self.val_images,
            'status': self.status,
            'files': {file: asdict(summary) for file, summary in self.files.items()},
            'classes': self.classes and self.classes.as_dict(),
            'problems': [problem.as_dict() for problem in self.problems],
            'recommendation': self.advice and self.advice.as_dict(),
        }


def inspect_files(
    train: str | Path,
    val: str | Path | None = None,
    images: str | Path | None = None,
    val_images: str | Path | None = None,
) -> Inspection:
    """Look at a training file, a validation file and the images of both.

    Args:
        train, val: LVIS or COCO json.
        images: Folder of the images. Their files are looked at only if it is given.
        val_images: That of the validation; by default the same.

    Raises:
        MissingFileError: A file or the folder does not exist.
    """
    given = {'--images': images, '--val-images': val_images}
    for option, folder in given.items():
        if folder is not None and not Path(folder).is_dir():
            raise MissingFileError(f'{option} is {folder}, expected a folder that exists')
    folders = {'train': images, 'val': val_images or images}
    paths = {'train': str(train)} | ({} if val is None else {'val': str(val)})
    columns, problems = {}, []
    for file, path in paths.items():
        parsed, refused = read(path, file)
        problems += refused
        if parsed is not None:
            columns[file] = parsed
            problems += problems_of(parsed, file)
            problems += [] if folders[file] else repeated_names(parsed, file)
    folders = {file: str(folder) for file, folder in folders.items() if folder is not None}
    problems += problems_of_files(columns, folders)
    if len(columns) == 2:
        problems += problems_between(columns['train'], columns['val'])
    classes = advice = None
    if 'train' in columns:
        classes = summarize(columns['train'])
        if classes.num_instances:
            masks = has_masks(columns['train'])
            advice = advise(classes, masks, str(train), val and str(val), given)
    return Inspection(
        str(train),
        None if val is None else str(val),
        None if images is None else str(images),
        None if val_images is None else str(val_images),
        classes,
        {file: FileSummary.of(parsed) for file, parsed in columns.items()},
        sorted(problems, key=lambda problem: (not problem.refused, not problem.lost)),
        advice,
    )
