"""One image: glyphs placed over a background, each with the mask that stays visible.

Shape legend: S side of the image in pixels, K = SUPERSAMPLE, N objects.
Objects are drawn at K times the resolution: the same pixels give smooth edges and fine masks.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .background import draw_background
from .fonts import fonts_with, outline
from .plan import GlyphPlan, ImagePlan, generator

SUPERSAMPLE = 4
_SHIFT = 4  # fractional bits of the coordinates given to OpenCV
_ATTEMPTS = 20
_MIN_AREA = 40  # pixels an object must keep visible
TEXTURES = ('flat', 'graded', 'striped', 'grainy')


@dataclass
class Placed:
    """An object in the image.

    Attributes:
        category: Category index.
        area: Area of its silhouette (the glyph with its holes filled) if nothing hid it,
            in pixels of the K*S grid.
        visible: Boolean (K*S, K*S): the part of the silhouette that later objects leave.
        colour: Its colour before the texture, BGR in 0..255, (3,).
        texture: A name of ``TEXTURES``.
    """

    category: int
    area: int
    visible: np.ndarray
    colour: np.ndarray
    texture: str


def render_image(plan: GlyphPlan, image: ImagePlan) -> tuple[np.ndarray, list[Placed]]:
    """Render one planned image.

    An object for which no place is found is not drawn at all, so that everything drawn keeps
    at least ``min_visible`` of its silhouette.

    Returns:
        The image, uint8 (S, S, 3) BGR, and the placed objects from bottom to top.
    """
    recipe = plan.recipe
    rng = generator(recipe, 'image', image.split, image.index)
    canvas = draw_background(image.background, recipe.side, rng)
    ground = canvas.mean(axis=(0, 1))
    placed: list[Placed] = []
    colours: list[np.ndarray] = []
    # Crowded images get smaller glyphs, or the last ones would find no place.
    low, high = recipe.object_size
    high = max(low, min(high, 1.5 * recipe.side / np.sqrt(max(len(image.classes), 1))))
    for category in image.classes:
        char = plan.glyphs[category]
        contours = outline(char, str(rng.choice(fonts_with(char))))
        size = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        weight = rng.uniform(0.0, 0.035)
        for _ in range(_ATTEMPTS):
            points = _pose(contours, size, recipe.side, rng)
            silhouette = _fill(points, recipe.side, weight * size, holes=False)
            if _fits(silhouette, placed, recipe.min_visible):
                break
            size = max(low, 0.92 * size)
        else:
            continue
        for other in placed:
            other.visible &= ~silhouette
        colours.append(_pick_colour(ground, colours, rng))
        ink = _fill(points, recipe.side, weight * size, holes=True)
        texture = _paint(canvas, ink, colours[-1], rng)
        area = np.count_nonzero(silhouette)
        placed.append(Placed(category, area, silhouette, colours[-1], texture))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), placed


def _pose(
    contours: tuple[np.ndarray, ...], size: float, side: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Apply a random affine map; the result lies inside the image. Pixels, (P, 2) each."""
    angle = np.deg2rad(rng.uniform(-25, 25))
    shear, aspect = rng.uniform(-0.15, 0.15), np.exp(rng.uniform(-0.18, 0.18))
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = size * rotate @ np.array([[aspect, shear], [0.0, 1.0 / aspect]])
    points = [c @ matrix.T for c in contours]
    stacked = np.concatenate(points)
    low, high = stacked.min(axis=0), stacked.max(axis=0)
    margin = 2 + 0.02 * size
    shrink = min(1.0, float((side - 2 * margin - 1) / (high - low).max()))
    offset = rng.uniform(margin - shrink * low, side - margin - shrink * high)
    return [shrink * p + offset for p in points]


def _fill(points: list[np.ndarray], side: int, stroke: float, holes: bool) -> np.ndarray:
    """Rasterise contours at K times the resolution, boolean (K*S, K*S).

    Args:
        points: Contours in pixels, (P, 2) each.
        side: S.
        stroke: Width in pixels of the line drawn along the contours, which makes them bolder.
        holes: Leave counters open (even-odd rule), or fill them.
    """
    mask = np.zeros((side * SUPERSAMPLE,) * 2, np.uint8)
    fixed = [np.rint((p * SUPERSAMPLE - 0.5) * 2**_SHIFT).astype(np.int32) for p in points]
    if holes:
        cv2.fillPoly(mask, fixed, 1, shift=_SHIFT)
    else:
        for contour in fixed:
            cv2.fillPoly(mask, [contour], 1, shift=_SHIFT)
    thickness = max(1, round(stroke * SUPERSAMPLE))
    cv2.polylines(mask, fixed, True, 1, thickness, shift=_SHIFT)
    return mask.astype(bool)


def _fits(silhouette: np.ndarray, placed: list[Placed], min_visible: float) -> bool:
    """Whether a new object leaves enough of every earlier one, and lies inside none."""
    area = np.count_nonzero(silhouette)
    if area < _MIN_AREA * SUPERSAMPLE**2:
        return False
    for other in placed:
        hidden = np.count_nonzero(other.visible & silhouette)
        left = np.count_nonzero(other.visible) - hidden
        # Polygons have no holes: an object inside another would be part of both masks.
        if hidden > 0.4 * area or left < min_visible * other.area:
            return False
        if left < _MIN_AREA * SUPERSAMPLE**2:
            return False
    return True


def _pick_colour(
    ground: np.ndarray, used: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """The colour, of some random ones, that stands out best from ground and neighbours, (3,)."""
    grey = np.array([0.114, 0.587, 0.299])
    candidates = rng.uniform(10, 245, (14, 3))
    score = np.abs((candidates - ground) @ grey)
    for colour in used:
        score = np.minimum(score, 0.8 * np.linalg.norm(candidates - colour, axis=1))
    return candidates[np.argmax(score)]


def _paint(
    canvas: np.ndarray, ink: np.ndarray, colour: np.ndarray, rng: np.random.Generator
) -> str:
    """Blend a textured glyph into the canvas (S, S, 3), in place; returns its texture's name."""
    side = len(canvas)
    alpha = cv2.resize(ink.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    left, top, width, height = cv2.boundingRect((alpha > 0).astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    kind, texture = _texture(height, width, rng)
    paint = colour.astype(np.float32) + 18.0 * texture[..., None]
    canvas[box] += alpha[box][..., None] * (paint - canvas[box])
    return TEXTURES[kind]


def _texture(height: int, width: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Index in ``TEXTURES`` and a texture of about -1..1, float32 (height, width)."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    along = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    kind = int(rng.integers(len(TEXTURES)))
    if kind == 0:
        return kind, np.zeros_like(along)
    if kind == 1:
        return kind, np.sin(along * np.float32(np.pi / max(height, width)))
    if kind == 2:
        return kind, np.sign(np.sin(along * np.float32(2 * np.pi / rng.uniform(5, 10))))
    return kind, rng.normal(0, 0.6, along.shape).astype(np.float32)
