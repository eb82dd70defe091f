"""Which method to begin with, and why: from the project's own comparison."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..frequency import repeat_threshold
from .classes import ClassSummary

# Below this factor between the largest and the smallest class, plain softmax.
MILD = 5
LVIS_THRESHOLD = 1e-3
# mask AP of all classes and of the rare ones, from benchmarks/results/methods_detection.md
MEASURED = {
    'softmax': (0.446, 0.368),
    'rfs': (0.460, 0.420),
    'iif_smooth': (0.463, 0.413),
    'norcal': (0.454, 0.383),
    'iif_post': (0.402, 0.235),
}
WHERE = (
    'AP of masks on rendered glyphs with a small Mask R-CNN, mean of the seeds of '
    'benchmarks/results/methods_detection.md: a hint for other data, not a promise'
)


@dataclass(frozen=True)
class Advice:
    """What to begin with.

    Args:
        method: Of ``lt_det init``.
        model: Likewise.
        sampling: 'default', or 'default, or rfs' where both are worth a run.
        repeat_threshold: ``oversample_thr`` at which repeat factor sampling repeats the classes
            that are not frequent; None where there are none.
        bounds: Most images of a rare and of a common class, for the groups of the evaluation.
        reasons: Why, a line each.
        command: The next command line.
    """

    method: str
    model: str
    sampling: str
    repeat_threshold: float | None
    bounds: tuple[int, int]
    reasons: list[str]
    command: str

    def as_dict(self) -> dict:
        return asdict(self)


def advise(
    summary: ClassSummary,
    masks: bool,
    train: str,
    val: str | None,
    folders: Mapping[str, object | None],
) -> Advice:
    """The method for a data set.

    Args:
        summary: Its statistics.
        masks: Whether its objects have masks.
        train, val: As given, for the next command.
        folders: Options with the folders of images, likewise.
    """
    bounds = summary.proposed_bounds or summary.bounds
    factor = summary.imbalance_images or 1.0
    threshold = None
    if summary.rarest and summary.rarest[0]['images'] <= bounds[1]:
        threshold = repeat_threshold(summary.num_images, bounds)
    method = 'softmax' if factor < MILD else 'iif'
    if method == 'softmax':
        reasons = [
            f'plain softmax: the largest class has {factor:.3g} times the images of the smallest, '
            f'less than {MILD}, and where there is next to no tail nothing is to be gained'
        ]
    else:
        reasons = _reasons(factor, threshold, summary.num_images)
        if not masks:
            reasons.append('those numbers are of masks; your data have boxes alone')
        reasons.append(WHERE)
    if summary.proposed_bounds:
        reasons.append(
            f'--bounds {bounds[0]} {bounds[1]}: by those of LVIS, {summary.bounds[0]} and '
            f'{summary.bounds[1]} images, all classes are in one group'
        )
    model = 'mask_rcnn_r50' if masks else 'faster_rcnn_r50'
    words = ['lt_det', 'init', train, val or 'VAL.json']
    for option, folder in folders.items():
        if folder is not None or option == '--images':
            words += [option, str(folder or 'IMAGES')]
    words += ['--model', model, '--method', method]
    words += ['--bounds', *map(str, summary.proposed_bounds)] if summary.proposed_bounds else []
    command = shlex.join([*words, '--out', 'config.py'])
    sampling = 'default' if method == 'softmax' else 'default, or rfs'
    return Advice(method, model, sampling, threshold, tuple(bounds), reasons, command)


def _reasons(factor: float, threshold: float | None, num_images: int) -> list[str]:
    reasons = [
        f'iif (link smooth), trained with it: {_pair("iif_smooth")}; softmax: {_pair("softmax")}; '
        f'imbalance here: {factor:,.0f}',
        'with a trained detector in hand, lt_det calibrate chooses a rule for test; of a softmax, '
        f'NorCal: {_pair("norcal")}, not iif: {_pair("iif_post")}',
    ]
    rfs = f'rfs, which repeats images of rare classes, where those matter most: {_pair("rfs")}'
    if threshold is None:
        rfs += '; here no class is rare or common, so there is nothing to repeat'
    elif threshold > 2 * LVIS_THRESHOLD:
        rfs += (
            f"; oversample_thr={threshold:.3g}, for LVIS's {LVIS_THRESHOLD:g} is meant for its "
            f'100,000 images, not for {num_images:,}'
        )
    return [reasons[0], rfs, reasons[1]]


def _pair(method: str) -> str:
    ap, rare = MEASURED[method]
    return f'AP {ap:.3f}, rare {rare:.3f}'
