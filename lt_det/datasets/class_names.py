"""Names of classes: of a data set that is known, from a text file, or as a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from ..errors import BadInputError, MissingFileError
from ..formats.annotation_records import category_record
from ..formats.json_file import read_json
from ..formats.text_file import read_text

NAMES = Path(__file__).parent / 'names'


def load_class_names(
    names: str | Path | Sequence[str] | dict, num_classes: int | None = None
) -> list[str]:
    """Class names in the order of the labels.

    Args:
        names: A list; a text file with a name per line; a json file with ``categories`` (or the
            list of them alone, as iNaturalist 2018 publishes it) whose ``id`` is the label; or one
            of ``'imagenet'``, ``'cifar10'``, ``'cifar100'``, ``'places365'``. A dict with ``names``
            and ``left_out``: without the names of these labels.
        num_classes: C.

    Returns:
        The C names.

    Raises:
        MissingFileError: There is no such file, and no such data set either.
        BadInputError: Not C names, an empty one, or one twice; names them.
    """
    where = 'class_names'
    if isinstance(names, dict):
        every = load_class_names(names['names'])
        names = [every[label] for label in kept_labels(names['left_out'], len(every))]
    if isinstance(names, str | Path):
        where, names = str(names), _read(str(names))
    names = [str(name).strip() for name in names]
    if num_classes not in (None, len(names)):
        fewer = 'fewer' if len(names) < num_classes else 'more'
        raise BadInputError(
            f'{where} has {len(names)} class names, {fewer} than num_classes={num_classes}'
        )
    check_class_names(names, where)
    return names


def check_class_names(names: Sequence[str], where: str) -> None:
    """Refuse classes that cannot be told apart by their names.

    Raises:
        BadInputError: An empty name, or one twice; it begins with ``where``.
    """
    seen: dict[str, int] = {}
    for label, name in enumerate(names):
        if not name:
            raise BadInputError(f'{where}: the name of class {label} is empty')
        if name in seen:
            raise BadInputError(
                f"{where}: classes {seen[name]} and {label} have the same name '{name}', so they "
                'could not be told apart'
            )
        seen[name] = label


def kept_labels(left_out: Sequence[int], num_classes: int) -> list[int]:
    """Labels 0..C-1 without ``left_out``.

    Raises:
        BadInputError: A label that is not in 0..C-1, or none is left.
    """
    outside = [label for label in left_out if not 0 <= label < num_classes]
    if outside:
        raise BadInputError(f'left_out has label {outside[0]}, expected 0..{num_classes - 1}')
    kept = sorted(set(range(num_classes)) - set(left_out))
    if not kept:
        raise BadInputError(f'left_out has all {num_classes} classes, expected some to be left')
    return kept


def _read(source: str) -> list[str]:
    if source in KNOWN:
        return KNOWN[source]()
    path = Path(source).expanduser()
    if not path.is_file():
        near = get_close_matches(source, KNOWN, cutoff=0.5)
        raise MissingFileError(
            f'file of class names {source} does not exist, and no data set of that name is known; '
            f'there are {", ".join(KNOWN)}' + (f'; did you mean {near[0]}?' if near else '')
        )
    if path.suffix == '.json':
        return _read_json(path)
    return read_class_names(path)


def read_class_names(path: str | Path) -> list[str]:
    """Names of a text file with one per line, blank lines at its end left out."""
    return [line.strip() for line in read_text(path).rstrip().split('\n')]


def with_class_names(metainfo: dict | None) -> dict | None:
    """``metainfo`` with the names of a file in place of its path."""
    classes = (metainfo or {}).get('classes')
    if isinstance(classes, str | Path) and Path(classes).is_file():
        return {**metainfo, 'classes': tuple(read_class_names(classes))}
    return metainfo


def _read_json(path: Path) -> list[str]:
    content = read_json(path)
    try:
        categories = content.get('categories') if isinstance(content, dict) else content
        if not isinstance(categories, list):
            raise BadInputError("no list 'categories'")
        records = [category_record(index, record) for index, record in enumerate(categories)]
    except ValueError as error:
        raise BadInputError(f'{path} is no list of categories with id and name: {error}') from None
    name_of = {record['id']: record['name'] for record in records}
    if len(name_of) < len(records):
        raise BadInputError(f'{path}: an id occurs more than once in categories')
    return [name_of[number] for number in sorted(name_of)]


def _imagenet() -> list[str]:
    """The names of Radford et al. (arXiv 2103.00020), which open_clip carries.

    Two of them name two classes each ('missile', 'sunglasses'); those four classes get the first
    word of their WordNet synset.
    """
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

    from ..models.open_clip import import_open_clip

    names = list(import_open_clip().IMAGENET_CLASSNAMES)
    doubled = [label for label, name in enumerate(names) if names.count(name) > 1]
    for label in doubled:
        names[label] = IMAGENET_CATEGORIES[label].split(',')[0]
    return names


def _cifar(which: str) -> Callable[[], list[str]]:
    def read() -> list[str]:
        from mmpretrain.datasets import categories

        return [name.replace('_', ' ') for name in getattr(categories, f'{which}_CATEGORIES')]

    return read


KNOWN: dict[str, Callable[[], list[str]]] = {
    'imagenet': _imagenet,
    'cifar10': _cifar('CIFAR10'),
    'cifar100': _cifar('CIFAR100'),
    # the folders of the Places-LT training list, in the order of its labels
    'places365': lambda: (NAMES / 'places365.txt').read_text(encoding='utf-8').splitlines(),
}
