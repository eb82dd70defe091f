"""Result files: json, and those of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from .. import documented, files
from ..breaking import broken_bytes, broken_content, broken_json
from ..documented import REFUSED
from .outcome import Subject, agree, expected, outcome


@cache
def evaluator_of(iou_type: str, skip_invalid: bool = False) -> Any:
    from lt_det.evaluation import LVISEvaluator

    return LVISEvaluator(files.annotations(), iou_type, skip_invalid=skip_invalid)


@cache
def columns() -> Any:
    from lt_det.formats.annotation_columns import read_columns

    return read_columns(files.annotations())


def check_results(folder: Path, data: bytes) -> None:
    path = folder / 'results.json'
    path.write_bytes(data)
    wanted = expected(documented.results, data, files.annotations())
    evaluator = evaluator_of('bbox')
    truth = evaluator.truth

    def read() -> list[tuple]:
        found = evaluator.read(str(path))
        columns = (
            truth.image_ids[found.image].tolist(),
            truth.category_ids[found.category].tolist(),
            found.score.tolist(),
            map(tuple, found.boxes.tolist()),
        )
        return list(zip(*columns))

    agree(outcome(read), wanted, 'records')
    metrics = outcome(evaluator.evaluate, str(path))
    if wanted == REFUSED:
        agree(metrics, REFUSED, 'metrics')
    else:
        keys = ('image_id', 'category_id', 'score', 'bbox')
        records = [dict(zip(keys, record)) for record in wanted]
        agree(metrics, evaluator.evaluate(records), 'metrics')
    lenient = evaluator_of('bbox', skip_invalid=True)
    metrics = outcome(lenient.evaluate, str(path))
    if wanted != REFUSED:
        assert not lenient.skipped, 'left out records that are valid'
        agree(metrics, evaluator.evaluate(records), 'metrics with skip_invalid')


def check_mask_results(folder: Path, data: bytes) -> None:
    path = folder / 'results.json'
    path.write_bytes(data)
    found = [outcome(evaluator_of('segm', skip).evaluate, str(path)) for skip in (False, True)]
    if found[0] != REFUSED:
        agree(found[1], found[0], 'metrics with skip_invalid')


def check_foreign(name: str) -> Callable[[Path, bytes], None]:
    def check(folder: Path, data: bytes) -> None:
        from lt_det.formats.foreign_results import read_foreign

        path = folder / name
        path.write_bytes(data)
        numbers = {class_name: i for i, class_name in enumerate(files.NAMES, 1)}

        def read() -> dict:
            found = read_foreign(path, files.NAMES, numbers)
            return {t: evaluator_of(t).evaluate(source) for t, source in found.items()}

        outcome(read)

    return check


def check_image_predictions(folder: Path, data: bytes) -> None:
    from lt_det.formats.image_predictions import holds_images, read_image_predictions

    path = folder / 'predictions.json'
    path.write_bytes(data)
    numbers = {class_name: i for i, class_name in enumerate(files.NAMES, 1)}
    outcome(holds_images, path)
    found = outcome(read_image_predictions, path, columns(), numbers)
    if found != REFUSED:
        assert all('\n' not in remark for remark in found.remarks('truth.json'))
        outcome(evaluator_of('bbox').evaluate, found.records)


def check_proposals(folder: Path, data: bytes) -> None:
    from lt_det.datasets import LongTailLVISDataset

    path = folder / 'proposals.pkl'
    path.write_bytes(data)
    truth = folder / 'truth.json'
    truth.write_text(json.dumps(files.annotations()))

    def read() -> None:
        dataset = LongTailLVISDataset(
            ann_file=str(truth), pipeline=[], check_images=False, proposal_file=str(path)
        )
        for index in range(len(dataset)):
            dataset.get_data_info(index)

    outcome(read)


SUBJECTS = {
    'results with codes': Subject(broken_json(files.results_with_codes()), check_mask_results),
    'predictions of images': Subject(
        broken_json(files.image_predictions()), check_image_predictions
    ),
    'proposals': Subject(broken_content(files.proposals(), files.pickle_bytes), check_proposals),
    'proposals, bytes': Subject(
        broken_bytes(files.pickle_bytes(files.proposals())), check_proposals
    ),
    'results': Subject(broken_json(files.results()), check_results),
    'results with masks': Subject(broken_json(files.results(True)), check_mask_results),
    'results of MMDetection': Subject(
        broken_content(files.mmdetection_samples(), files.pickle_bytes), check_foreign('a.pkl')
    ),
    'results of MMDetection, bytes': Subject(
        broken_bytes(files.pickle_bytes(files.mmdetection_samples())), check_foreign('a.pkl')
    ),
    'results of Detectron2': Subject(
        broken_content(files.detectron2_samples(), files.torch_bytes), check_foreign('a.pth')
    ),
}
