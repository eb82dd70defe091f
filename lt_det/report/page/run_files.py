"""What a run has left in its work dir, found and read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import BadInputError, MissingFileError
from ...evaluation.detections import Detections
from ...evaluation.engine import MAX_DETS
from ...evaluation.ground_truth import GroundTruth
from ...evaluation.kept_detections import KeptDetections, read_kept
from ...evaluation.lvis_eval import LVISEvaluator
from ...formats.annotation_cache import load_columns
from ...frequency import ClassFrequency
from .run_note import NAME, PREDICTIONS, describe, read_note, read_object


@dataclass
class RunFiles:
    """A run of which the numbers are there.

    Attributes:
        folder: Where its ``metrics.json`` is.
        home: Its work dir: ``folder``, or its parent where that is of a test.
        metrics: What the file holds.
        note: What ``run.json`` or else the config says, see ``run_note``.
        notes: What is missing, in words.
    """

    folder: Path
    home: Path
    metrics: dict
    note: dict
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The name of the config, or of the folder where it is not there."""
        config = self.note.get('config')
        return Path(config).stem if config else self.home.resolve().name


def find_run(work_dir: str | os.PathLike) -> RunFiles:
    """Find the numbers of a run, and what they are of.

    Args:
        work_dir: A work dir of a training or its ``test`` folder. Where it has no ``metrics.json``
            of its own, that of its ``test`` folder is taken.

    Raises:
        MissingFileError: There is no such folder or no ``metrics.json`` in it.
        BadInputError: A json in it cannot be read.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise MissingFileError(f'work dir {work_dir} does not exist')
    folders = [folder for folder in (work_dir, work_dir / 'test') if _ended(folder)]
    if not folders:
        raise MissingFileError(
            f'{work_dir} has no metrics.json; expected a work dir in which a training or test with '
            'ReportHook has ended'
        )
    folder = folders[0]
    home = folder.parent if folder.resolve().name == 'test' else folder
    run = RunFiles(folder, home, read_object(folder / 'metrics.json'), {})
    if (folder / NAME).is_file():
        run.note = read_note(folder / NAME)
    else:
        run.note = _from_config(run)
    return run


def load_truth(run: RunFiles) -> GroundTruth | None:
    """The annotations that a run was evaluated on; None, and a note, where they are not there.

    Raises:
        BadInputError: They cannot be used.
    """
    path = run.note.get('ann_file')
    if not path or not os.path.isfile(path):
        run.notes.append(f'no diagnosis: the annotation file {path or "of the run"} is not there')
        return None
    columns = load_columns(path)
    counted = all(isinstance(c.get('image_count'), int) for c in columns.categories)
    bounds = run.note.get('bounds')
    truth = GroundTruth(
        columns, run.note.get('protocol') or 'auto', bounds=bounds if counted else None
    )
    train = run.note.get('train_ann_file')
    known = all(truth.frequency) and bounds is None
    if not known and train and os.path.isfile(train):
        truth.set_groups(ClassFrequency.from_annotation_file(train), bounds)
    if not any(truth.frequency):
        run.notes.append('no groups: the training images of the classes are not known')
    return truth


def load_detections(run: RunFiles, truth: GroundTruth) -> KeptDetections | None:
    """The detections of a run; None, and a note, where it has kept none.

    They are those of ``predictions.npz``, or of the result files of ``outfile_prefix``.

    Raises:
        BadInputError: A file cannot be used, or is of other annotations.
    """
    if (run.folder / PREDICTIONS).is_file():
        return read_kept(run.folder / PREDICTIONS, truth)
    for prefix in (run.note.get('outfile_prefix'), run.folder / 'results'):
        paths = {t: f'{prefix}.{t}.json' for t in ('bbox', 'segm')} if prefix else {}
        paths = {t: path for t, path in paths.items() if os.path.isfile(path)}
        if paths:
            detections: dict[str, Detections] = {
                iou_type: LVISEvaluator(truth, iou_type, limit_of(run, truth)).read(path)
                for iou_type, path in paths.items()
            }
            everything = np.ones(truth.num_images, bool), np.ones(truth.num_categories, bool)
            return KeptDetections(*everything, detections)
    run.notes.append(
        f'no diagnosis: the run has kept no detections ({PREDICTIONS}, or the result files of '
        'outfile_prefix); a test of its checkpoint writes them'
    )
    return None


def limit_of(run: RunFiles, truth: GroundTruth) -> int:
    """Detections that count, of an image (lvis) or of each category of an image (coco)."""
    limit = run.note.get('max_dets')
    return MAX_DETS[truth.protocol] if limit is None else limit


def _ended(folder: Path) -> bool:
    return (folder / 'metrics.json').is_file()


def _from_config(run: RunFiles) -> dict:
    """What the config in the work dir says, for runs without a note."""
    configs = sorted(run.home.glob('*.py'), key=os.path.getmtime)
    if not configs:
        run.notes.append(f'{run.home} has neither {NAME} nor a config: only numbers are shown')
        return {}
    from mmengine.config import Config

    try:
        cfg = Config.fromfile(configs[-1], import_custom_modules=False)
    except Exception as error:  # it runs whatever stands in it
        raise BadInputError(f'config {configs[-1]} cannot be read: {error}') from error
    part = 'val' if run.folder == run.home else 'test'
    run.notes.append(f'checkpoint, date and command are not known: {run.folder} has no {NAME}')
    return {**describe(cfg, part), 'config': str(configs[-1])}
