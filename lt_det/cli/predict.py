"""Find objects in images: pictures, and one json with all detections.

    lt_det predict mine.py work_dirs/mine/epoch_12.pth images/ more/*.jpg

The json is a list of images: file, height and width in pixels, and detections with the name of
the class, score, bbox (x, y, width, height in pixels) and, of a model with masks, segmentation
(run-length code of COCO). lt_det evaluate reads it; --ann val.json adds results.json, the same as
result records of COCO, for other evaluators.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..config_parts import classifies
from ..errors import BadInputError, MissingFileError, listed
from ..formats.files import whole_file, write_text
from .common import add_config_arguments, load_config
from .config_errors import config_errors
from .console import prints_to_log, quiet_loggers

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

ENDINGS = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.jp2'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('images', nargs='+', help='files, folders (with those below) or patterns')
    parser.add_argument('--out', default='predictions', help='folder; default: predictions')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='lower scores are left out; default: 0.3'
    )
    parser.add_argument(
        '--ann',
        metavar='FILE',
        help='annotations of the images: write results.json with their ids too, for evaluators',
    )
    parser.add_argument('--no-pictures', action='store_true', help='write the json alone')
    parser.add_argument('--device', help='cpu, cuda:1, ...; default: a GPU where there is one')
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> None:
    files = find_images(args.images)
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise MissingFileError(f'checkpoint {args.checkpoint} does not exist')
    if not 0 <= args.score_thr <= 1:
        raise BadInputError(f'--score-thr is {args.score_thr}, expected 0 to 1')
    if args.ann and not Path(args.ann).is_file():
        raise MissingFileError(f'--ann {args.ann} does not exist')
    cfg = load_config(args)
    if classifies(cfg):
        raise BadInputError(
            f"{args.config} is of a classifier, expected a detector; mmpretrain's "
            'ImageClassificationInferencer predicts with it'
        )
    files, broken = readable(files)
    prints = nullcontext() if args.verbose else prints_to_log()
    with quiet_loggers(not args.verbose), prints, config_errors(cfg):
        predictor = Predictor(cfg, args.checkpoint, args.device, args.trust_checkpoint)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    names = picture_names(files)
    count = write_json(
        out / 'predictions.json',
        (
            predictor.record(path, args.score_thr, None if args.no_pictures else out / name)
            for path, name in progress(list(zip(files, names)), 'images')
        ),
    )
    print(f'{count} detections with score >= {args.score_thr} in {len(files)} images')
    print(f'written: {out / "predictions.json"}' + ('' if args.no_pictures else f', {out}/*.jpg'))
    if args.ann:
        write_records(out, args.ann)
    if broken:
        print(
            f'note: {len(broken)} of {len(files) + len(broken)} images are broken and were left '
            f'out: {listed(broken, 3)}',
            file=sys.stderr,
        )


def write_records(out: Path, ann: str) -> None:
    """Write the predictions as result records of COCO, with the ids of annotations."""
    from ..formats.annotation_columns import read_columns
    from ..formats.image_predictions import read_image_predictions

    columns = read_columns(ann)
    ids = {
        name: category['id'] for name, category in zip(columns.category_names, columns.categories)
    }
    found = read_image_predictions(out / 'predictions.json', columns, ids)
    write_text(out / 'results.json', json.dumps(found.records) + '\n')
    print(f'written: {out / "results.json"}, {len(found.records)} records with the ids of {ann}')
    for remark in found.remarks(ann):
        print(f'note: {remark}', file=sys.stderr)


class Predictor:
    """A detector with its test pipeline and the names of its classes.

    Args:
        cfg: Config of a detector.
        checkpoint: Path or address.
        device: By default a GPU where there is one.
        trust: Whether to read a checkpoint that holds more than tensors.
    """

    def __init__(self, cfg, checkpoint: str, device: str | None, trust: bool = False) -> None:
        from mmcv.transforms import Compose
        from mmdet.apis import init_detector
        from mmdet.registry import VISUALIZERS
        from mmdet.utils import get_test_pipeline_cfg
        from mmengine.device import get_device
        from mmengine.runner.checkpoint import CheckpointLoader

        from ..compat.checkpoint import restrict_checkpoint_loading
        from ..engine.checkpoint_fit_hook import check_fits
        from ..label_order import label_order

        restrict_checkpoint_loading(trust)
        self.model = init_detector(cfg, checkpoint, device=device or get_device())
        check_fits(self.model, CheckpointLoader.load_checkpoint(checkpoint, 'cpu'), checkpoint)
        self.pipeline = Compose(get_test_pipeline_cfg(cfg.copy()))
        names = self.model.dataset_meta['classes']
        self.classes = label_order(cfg, names)
        self.model.dataset_meta = {**self.model.dataset_meta, 'classes': self.classes}
        self.visualizer = VISUALIZERS.build(dict(type='DetLocalVisualizer', name='predict'))
        self.visualizer.dataset_meta = self.model.dataset_meta

    def predict(self, path: str) -> DetDataSample:
        """Detections of an image, in its own pixels."""
        from mmdet.apis import inference_detector

        return inference_detector(self.model, path, test_pipeline=self.pipeline)

    def record(self, path: str, score_thr: float, picture: Path | None) -> dict:
        """The entry of an image in the json; draws the picture too."""
        sample = self.predict(path)
        instances = sample.pred_instances
        sample.pred_instances = instances = instances[instances.scores >= score_thr].cpu()
        if picture is not None:
            import mmcv

            image = mmcv.imread(path, channel_order='rgb')
            self.visualizer.add_datasample(
                path, image, sample, draw_gt=False, pred_score_thr=score_thr, out_file=str(picture)
            )
        height, width = sample.ori_shape
        return dict(file=path, height=height, width=width, detections=self._detections(instances))

    def _detections(self, instances) -> list[dict]:
        import numpy as np

        from ..evaluation.predictions import encode_masks

        boxes = instances.bboxes.clone()
        boxes[:, 2:] -= boxes[:, :2]
        detections = [
            {'class': str(self.classes[label]), 'score': round(score, 6), 'bbox': box}
            for label, score, box in zip(
                instances.labels.tolist(),
                instances.scores.tolist(),
                np.round(boxes.numpy().astype(float), 2).tolist(),
            )
        ]
        if 'masks' in instances:
            codes = encode_masks(instances.masks, np.arange(len(instances)))
            for detection, rle in zip(detections, codes, strict=True):
                counts = rle['counts']
                text = counts.decode('ascii') if isinstance(counts, bytes) else counts
                detection['segmentation'] = dict(size=list(map(int, rle['size'])), counts=text)
        return detections


def find_images(patterns: Sequence[str]) -> list[str]:
    """Files, the images below folders, and what patterns match; each once, in this order.

    Raises:
        MissingFileError: One of them names nothing, or a folder has no image.
    """
    files: dict[str, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = sorted(p for p in path.rglob('*') if p.suffix.lower() in ENDINGS)
            if not inside:
                raise MissingFileError(
                    f'{pattern}: no image in this folder; expected files that end in '
                    f'{", ".join(sorted(ENDINGS))}'
                )
            matches = map(str, inside)
        elif path.is_file():
            matches = [pattern]
        else:
            matches = sorted(p for p in glob.glob(pattern, recursive=True) if Path(p).is_file())
            if not matches:
                raise MissingFileError(f'{pattern}: no such file, folder or match')
        files.update(dict.fromkeys(matches))
    return list(files)


def readable(files: list[str]) -> tuple[list[str], list[str]]:
    """Images that can be read, and those that cannot.

    Raises:
        BadInputError: None can be read.
    """
    from ..datasets.image_check import inspect_images

    problems = inspect_images(files).problem
    good = [path for path, problem in zip(files, problems) if not problem]
    broken = [path for path, problem in zip(files, problems) if problem]
    if not good:
        raise BadInputError(f'none of the {len(files)} files is an image, the first is {files[0]}')
    return good, broken


def picture_names(files: Sequence[str]) -> list[str]:
    """A name of its own for the picture of each image, by its path below what all share."""
    import os

    folders = {os.path.dirname(os.path.abspath(path)) for path in files}
    root = os.path.commonpath(folders)
    counts: dict[str, int] = {}
    names: dict[str, None] = {}
    for path in files:
        relative = Path(os.path.relpath(os.path.abspath(path), root))
        stem = '_'.join(relative.with_suffix('').parts)
        name = f'{stem}.jpg'
        while name in names:
            counts[stem] = counts.get(stem, 1) + 1
            name = f'{stem}_{counts[stem]}.jpg'
        names[name] = None
    return list(names)


def write_json(path: Path, records: Iterator[dict]) -> int:
    """Write records as they come; the file is there only when all are. Returns the detections."""
    count = 0
    with whole_file(path) as part, part.open('w', encoding='utf-8') as file:
        for number, record in enumerate(records):
            file.write(('[\n' if number == 0 else ',\n') + json.dumps(record))
            count += len(record['detections'])
        file.write('\n]\n')
    return count


def progress(items: Sequence, what: str) -> Iterator:
    from tqdm import tqdm

    return iter(tqdm(items, desc=what, file=sys.stderr, disable=not sys.stderr.isatty()))
