"""Group metrics and pictures for the backends of MMEngine's visualizer, under one prefix.

TensorBoard, W&B, MLflow and the others get, after each validation and test,

- ``long_tail/val/...`` and ``long_tail/test/...``: AP, APr, APc and APf of each IoU type
  (``bbox_APr``), or top1, macro, many, medium and few of a classifier; -1 (nothing to judge) is
  left out;
- ``long_tail/val/NAME`` and ``long_tail/test/NAME`` with the pictures that ``ReportHook`` writes,
  after training and test (not for the local backend, beside whose files they lie already).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
from mmengine.visualization import LocalVisBackend, Visualizer

PREFIX = 'long_tail'
_METRICS = (
    *(f'{t}_{name}' for t in ('bbox', 'segm', 'boundary') for name in ('AP', 'APr', 'APc', 'APf')),
    *('top1', 'macro', 'many', 'medium', 'few'),
)


def send_metrics(visualizer: Visualizer, metrics: Mapping, part: str, step: int) -> None:
    """Send the group metrics.

    Args:
        visualizer: Of the runner.
        metrics: Of an evaluation, as its metrics name them.
        part: 'val' or 'test'.
        step: Iteration.
    """
    names = {key: key.split('/')[-1] for key in metrics}
    chosen = {
        f'{PREFIX}/{part}/{name}': metrics[key]
        for key, name in names.items()
        if name in _METRICS and _is_value(metrics[key])
    }
    if chosen:
        visualizer.add_scalars(chosen, step=step)


def send_pictures(
    visualizer: Visualizer, paths: Iterable[str | Path], part: str, step: int
) -> None:
    """Send pictures (.png) by the names of their files; other files are passed over."""
    backends = getattr(visualizer, '_vis_backends', {}).values()
    remote = [backend for backend in backends if not isinstance(backend, LocalVisBackend)]
    for path in map(Path, paths if remote else ()):
        if path.suffix == '.png':
            picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            for backend in remote:
                backend.add_image(f'{PREFIX}/{part}/{path.stem}', picture, step=step)


def _is_value(value: object) -> bool:
    return isinstance(value, (int, float)) and value >= 0
