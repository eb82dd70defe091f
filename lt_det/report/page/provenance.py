"""Where the numbers of a page come from, and what they may be compared with."""

from __future__ import annotations

from ...evaluation.engine import MAX_DETS
from ...evaluation.ground_truth import GroundTruth
from ...evaluation.kept_detections import KeptDetections
from .run_files import RunFiles, limit_of
from .run_note import installed_versions

# protocol, categories and images of the sets that leaderboards and papers report
_PUBLIC = {
    ('lvis', 1203, 19809): 'LVIS v1 val',
    ('lvis', 1230, 5000): 'LVIS v0.5 val',
    ('coco', 80, 5000): 'COCO val2017',
}


def provenance(
    run: RunFiles, base: RunFiles | None, truth: GroundTruth | None, kept: KeptDetections | None
) -> dict:
    """``provenance`` of the schema, of a detector.

    Args:
        run, base: The run and its baseline.
        truth: Annotations, None where they are not there.
        kept: Detections and what they were judged on, None where they are not there.
    """
    data = None
    if truth is not None:
        images = truth.num_images if kept is None else int(kept.images.sum())
        chosen = slice(None) if kept is None else kept.images[truth.image]
        counted = (~truth.ignore)[chosen]
        if kept is not None:
            counted = counted & kept.categories[truth.category[chosen]]
        data = {
            'file': str(truth.source),
            'images': images,
            'annotations': int(counted.sum()),
        }
    return {
        'protocol': truth.protocol if truth is not None else None,
        'max_dets': limit_of(run, truth) if truth is not None else None,
        'comparable': _comparable(run, truth, kept),
        'data': data,
        **common_provenance(run, base),
    }


def common_provenance(run: RunFiles, base: RunFiles | None) -> dict:
    """What is the same of detectors and classifiers."""
    return {
        'config': run.note.get('config'),
        'checkpoint': run.note.get('checkpoint'),
        'versions': run.note.get('versions') or installed_versions(),
        'date': run.note.get('date'),
        'command': run.note.get('command'),
        'against': None if base is None else base.title,
    }


def _comparable(run: RunFiles, truth: GroundTruth | None, kept: KeptDetections | None) -> str:
    if truth is None:
        return 'not known: the annotation file is not there'
    size = truth.protocol, truth.num_categories, truth.num_images
    reasons = []
    if size not in _PUBLIC:
        reasons.append(
            f'the data ({truth.num_images} images, {truth.num_categories} classes) are none that '
            'leaderboards report'
        )
    if kept is not None and not kept.images.all():
        reasons.append(f'{int(kept.images.sum())} of {truth.num_images} images were scored')
    if kept is not None and not kept.categories.all():
        reasons.append(
            f'{int(kept.categories.sum())} of {truth.num_categories} classes were scored'
        )
    limit, usual = limit_of(run, truth), MAX_DETS[truth.protocol]
    if limit != usual:
        reasons.append(f'{limit} detections count, not {usual}')
    if run.note.get('bounds'):
        reasons.append(f'groups are bounded by {run.note["bounds"]} training images')
    if reasons:
        return 'no: ' + '; '.join(reasons)
    return (
        f'yes: it has the images and classes of {_PUBLIC[size]}, and the rules are those of '
        f'{"lvis-api" if truth.protocol == "lvis" else "pycocotools"}'
    )
