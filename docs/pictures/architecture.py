"""The diagram of docs/architecture.md: what is in which package, and what goes from where to where.

    python docs/pictures/architecture.py

Writes ``architecture.svg`` beside this file: text and lines that a browser draws by itself, with
nothing to fetch.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

OUT = Path(__file__).with_name('architecture.svg')
WIDTH, HEIGHT = 1000, 625
LINE = 17  # pixels
COLOURS = {'package': ('#e8eaf6', '#3949ab'), 'thing': ('#fffdf5', '#a1887f')}
COLOURS['heart'] = ('#fff3e0', '#e65100')


class Box(NamedTuple):
    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...] = ()
    kind: str = 'package'

    @property
    def height(self) -> int:
        return 34 + LINE * len(self.lines)

    def side(self, name: str) -> tuple[float, float]:
        """The middle of a side: left, right, top or bottom."""
        x = self.x + self.width * {'left': 0, 'right': 1}.get(name, 0.5)
        return x, self.y + self.height * {'top': 0, 'bottom': 1}.get(name, 0.5)


BOXES = {
    'data': Box(20, 20, 200, 'training data', ('json, list file, images',), 'thing'),
    'formats': Box(20, 120, 200, 'lt_det.formats', ('one parse, one validation',)),
    'datasets': Box(20, 220, 200, 'lt_det.datasets', ('items, samplers, transforms',)),
    'frequency': Box(290, 112, 190, 'lt_det.frequency', ('images and instances', 'of each class')),
    'engine': Box(290, 20, 190, 'lt_det.engine', ('hooks: who is told when',)),
    'backbone': Box(290, 270, 190, 'backbone, neck, head', ('MMDetection, MMPretrain',), 'thing'),
    'classifier': Box(290, 367, 190, 'lt_det.models', ('heads, classifiers, losses',)),
    'adjustment': Box(
        540, 358, 190, 'lt_det.adjustments', ("z' = scale z + shift", 'in buffers'), 'heart'
    ),
    'loss': Box(540, 470, 190, 'loss', ('training',), 'thing'),
    'stock': Box(790, 20, 190, 'stock weights', ('run without lt_det',), 'thing'),
    'calibration': Box(790, 120, 190, 'lt_det.calibration', ('choose on held-out images',)),
    'checkpoint': Box(790, 262, 190, 'checkpoint', ('weights and', 'class statistics'), 'thing'),
    'scores': Box(790, 367, 190, 'scores, boxes, masks', ('prediction',), 'thing'),
    'evaluation': Box(790, 462, 190, 'lt_det.evaluation', ('AP by frequency, accuracy',)),
    'report': Box(790, 557, 190, 'lt_det.report', ('a page of the run',)),
}
# from, its side, to, its side, words beside the line, and where they stand from its middle
ARROWS = [
    ('data', 'bottom', 'formats', 'top', '', (0, 0)),
    ('formats', 'bottom', 'datasets', 'top', 'columns', (8, 4)),
    ('formats', 'right', 'frequency', 'left', 'counts', (-22, -8)),
    ('datasets', 'bottom', 'backbone', 'left', 'batches', (0, 30)),
    ('frequency', 'top', 'engine', 'bottom', '', (0, 0)),
    ('engine', 'right', 'adjustment', 'top', 'set_class_frequency', (85, 10)),
    ('backbone', 'bottom', 'classifier', 'top', 'features', (8, 5)),
    ('classifier', 'right', 'adjustment', 'left', 'logits', (-18, -8)),
    ('adjustment', 'bottom', 'loss', 'top', '', (0, 0)),
    ('adjustment', 'right', 'scores', 'left', '', (0, 0)),
    ('scores', 'bottom', 'evaluation', 'top', '', (0, 0)),
    ('evaluation', 'bottom', 'report', 'top', '', (0, 0)),
    ('backbone', 'right', 'checkpoint', 'left', '', (0, 0)),
    ('checkpoint', 'top', 'calibration', 'bottom', '', (0, 0)),
    ('calibration', 'top', 'stock', 'bottom', 'fold', (8, 4)),
]


def draw() -> str:
    """The picture as a text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13">',
        '<title>The packages of lt_det, and what goes from where to where</title>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#455a64"/></marker></defs>',
        # a ground of its own, so that it is read on dark pages too
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
    ]
    parts += [part for arrow in ARROWS for part in _arrow(*arrow)]
    parts += [part for box in BOXES.values() for part in _box(box)]
    return '\n'.join([*parts, '</svg>']) + '\n'


def _box(box: Box) -> list[str]:
    fill, stroke = COLOURS[box.kind]
    middle = box.x + box.width / 2
    parts = [
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>',
        f'<text x="{middle:g}" y="{box.y + 22}" text-anchor="middle" font-weight="bold" '
        f'fill="#1a237e">{escape(box.title)}</text>',
    ]
    parts += [
        f'<text x="{middle:g}" y="{box.y + 22 + LINE * number}" text-anchor="middle" '
        f'fill="#37474f">{escape(line)}</text>'
        for number, line in enumerate(box.lines, 1)
    ]
    return parts


def _arrow(
    start: str, leave: str, end: str, enter: str, words: str, shift: tuple[int, int]
) -> list[str]:
    """A line of horizontal and vertical pieces, and its words."""
    (x1, y1), (x2, y2) = BOXES[start].side(leave), BOXES[end].side(enter)
    along = [side in ('left', 'right') for side in (leave, enter)]
    path = f'M{x1:g} {y1:g}'
    if along == [False, False]:
        path += f'V{y2:g}'
    elif along == [False, True]:
        path += f'V{y2:g}H{x2:g}'
    else:
        path += f'H{x2:g}' + f'V{y2:g}' * (not along[1])
    parts = [
        f'<path d="{path}" fill="none" stroke="#455a64" stroke-width="1.5" marker-end="url(#tip)"/>'
    ]
    if words:
        x, y = (x1 + x2) / 2 + shift[0], (y1 + y2) / 2 + shift[1]
        parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="#455a64" font-style="italic">{escape(words)}</text>'
        )
    return parts


def main() -> None:
    OUT.write_text(draw(), encoding='utf-8')
    print(f'written: {OUT}')


if __name__ == '__main__':
    main()
