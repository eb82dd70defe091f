"""What does not fit between a training and a validation file."""

from __future__ import annotations

from ..evaluation.ground_truth import FREQUENCY_GROUPS
from ..formats.annotation_columns import AnnotationColumns
from ..frequency import ClassFrequency
from .annotations import names_of
from .problems import Problem, problem


def problems_between(train: AnnotationColumns, val: AnnotationColumns) -> list[Problem]:
    """Classes that differ, and images that both files have."""
    return [*_classes(train, val), *_groups(train, val), *_images(train, val)]


def _classes(train: AnnotationColumns, val: AnnotationColumns) -> list[Problem]:
    ours, theirs = list(train.category_names), list(val.category_names)
    if ours == theirs:
        pairs = zip(train.categories, val.categories, strict=True)
        other = [a['name'] for a, b in pairs if a['id'] != b['id']]
        return [problem('both', 'class_ids', len(other), other)] if other else []
    problems = []
    for kind, mine, others in (
        ('class_train_only', ours, set(theirs)),
        ('class_val_only', theirs, set(ours)),
    ):
        only = [name for name in mine if name not in others]
        if only:
            problems.append(problem('both', kind, len(only), only))
    if problems:
        return problems
    other = [a for a, b in zip(ours, theirs) if a != b]
    return [problem('both', 'class_order', len(other), other)]


def _groups(train: AnnotationColumns, val: AnnotationColumns) -> list[Problem]:
    counts = train.arrays['image_count'], train.arrays['instance_count']
    groups = ClassFrequency(*counts, train.num_images).groups('lvis').tolist()
    group_of = dict(zip(train.category_names, groups))
    said = [(c['name'], c.get('frequency')) for c in val.categories if c['name'] in group_of]
    if any(group not in FREQUENCY_GROUPS for _, group in said):
        return []
    other = [name for name, group in said if group != group_of[name]]
    return [problem('both', 'class_group', len(other), other)] if other else []


def shared_images(train: AnnotationColumns, val: AnnotationColumns) -> list[str]:
    """Images with the same id and name; names alone are often those of two folders."""
    ours, theirs = (
        dict(zip(side.arrays['image_id'].tolist(), names_of(side))) for side in (train, val)
    )
    return sorted(name for number, name in theirs.items() if name and ours.get(number) == name)


def _images(train: AnnotationColumns, val: AnnotationColumns) -> list[Problem]:
    same = shared_images(train, val)
    return [problem('both', 'image_in_both', len(same), same)] if same else []
