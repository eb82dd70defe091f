"""Result files for other tools: a json list of records."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from ..formats.files import whole_file
from .detections import Detections
from .ground_truth import GroundTruth


def write_results(path: str | os.PathLike, truth: GroundTruth, parts: Sequence[Detections]) -> None:
    """Write detections as lvis-api and pycocotools read them; whole or not at all.

    Args:
        path: The file; its folder is made.
        truth: Annotations that they are of.
        parts: Detections, of one image after another.
    """
    texts = (
        json.dumps([_as_json(record) for record in part.records(truth)])[1:-1]
        for part in parts
        if len(part)
    )
    with whole_file(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        file.write('[' + next(texts, ''))
        for text in texts:
            file.write(', ' + text)
        file.write(']')


def _as_json(record: dict) -> dict:
    mask = record.get('segmentation')
    if isinstance(mask, dict) and isinstance(mask['counts'], bytes):
        record['segmentation'] = {**mask, 'counts': mask['counts'].decode()}
    return record
