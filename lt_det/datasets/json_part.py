"""A part of an annotation file, with all that the file says of its images."""

from __future__ import annotations

from typing import Any

from ..formats.annotation_columns import AnnotationColumns
from ..frequency import ClassFrequency


def json_part(
    content: dict[str, Any], ids: set, columns: AnnotationColumns, frequency: ClassFrequency
) -> dict[str, Any]:
    """The content of a json with some of its images and all annotations of these.

    Everything else stays, but for the ``image_count``, ``instance_count`` and ``frequency`` of
    categories that have them.

    Args:
        content: LVIS or COCO annotations.
        ids: Of the images.
        columns: Of the same file.
        frequency: What the categories get: the statistics of the images that will be trained on.
    """
    number_of = {category['id']: number for number, category in enumerate(columns.categories)}
    groups = frequency.groups('lvis')

    def counted(category: dict[str, Any]) -> dict[str, Any]:
        number = number_of[category['id']]
        counts = dict(
            image_count=int(frequency.image_count[number]),
            instance_count=int(frequency.instance_count[number]),
            frequency=str(groups[number]),
        )
        return {key: counts.get(key, value) for key, value in category.items()}

    return {
        **content,
        'images': [record for record in content['images'] if record['id'] in ids],
        'annotations': [r for r in content['annotations'] if r['image_id'] in ids],
        'categories': [counted(category) for category in content['categories']],
    }
