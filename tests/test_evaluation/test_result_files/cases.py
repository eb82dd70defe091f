"""Results in the files of several frameworks, and ``lt_det evaluate`` of them."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from subprocess import CompletedProcess

from pycocotools import mask as mask_utils

from lt_det.cli.main import main

SIDE = 64
IDS = {'name4': 4, 'name7': 7, 'name8': 8}


def polygon(box):
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def rle(box):
    return mask_utils.frPyObjects([polygon(box)], SIDE, SIDE)[0]


def records_of(samples, with_box=True, with_mask=True):
    records = []
    for sample in samples:
        instances = sample['pred_instances']
        for i, (x1, y1, x2, y2) in enumerate(instances['bboxes'].tolist()):
            record = {
                'image_id': sample['img_id'],
                'category_id': (4, 7, 8)[int(instances['labels'][i])],
                'score': instances['scores'][i].item(),
            }
            if with_box:
                record['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            if with_mask:
                mask = instances['masks'][i]
                record['segmentation'] = {**mask, 'counts': mask['counts'].decode()}
            records.append(record)
    return records


def run(*args) -> CompletedProcess:
    """``lt_det evaluate`` in this process."""
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main(['evaluate', *map(str, args)])
    except SystemExit as end:
        status = end.code
    return CompletedProcess(args, status, out.getvalue(), err.getvalue())
