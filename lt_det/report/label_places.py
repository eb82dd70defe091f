"""Places for labels beside boxes, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STEPS = 12  # labels' heights that a label may be moved away


def place_labels(
    boxes: Sequence[Sequence[float]], sizes: Sequence[Sequence[float]], area: Sequence[float]
) -> list[tuple[float, float] | None]:
    """Place a label at each box: above it, in it, below it, or as near to it as there is room.

    Args:
        boxes: N of x1, y1, x2, y2, y upwards or downwards alike.
        sizes: N of width and height of the labels; the first ones choose first.
        area: x1, y1, x2, y2 that labels stay within.

    Returns:
        x and y of the corner of each label that has the smallest of both; None where there is no
        room. No two labels overlap.
    """
    taken = np.zeros((0, 4))
    places: list[tuple[float, float] | None] = []
    for box, (width, height) in zip(boxes, sizes, strict=True):
        place = None
        for x, y in _candidates(box, width, height):
            x = min(max(x, area[0]), area[2] - width)
            inside = area[0] <= x and area[1] <= y and y + height <= area[3]
            corners = np.array([x, y, x + width, y + height])
            shared = np.minimum(taken[:, 2:], corners[2:]) - np.maximum(taken[:, :2], corners[:2])
            if inside and not (shared > 0).all(1).any():
                place = (float(x), float(y))
                taken = np.vstack([taken, corners])
                break
        places.append(place)
    return places


def _candidates(box: Sequence[float], width: float, height: float) -> list[tuple[float, float]]:
    x1, y1, x2, y2 = box
    edges = [(x1, y2), (x2 - width, y2), (x1, y2 - height), (x1, y1 - height), (x1, y1)]
    moved = [
        (x, y2 + sign * step * height)
        for step in range(1, _STEPS)
        for sign in (1, -1)
        for x in (x1, x2)
    ]
    return edges + moved
