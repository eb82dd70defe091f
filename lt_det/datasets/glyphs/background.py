"""Backgrounds: a tinted pattern with clutter that looks like no glyph.

Shape legend: S side of the image in pixels; images are float32 (S, S, 3), 0..255, BGR.
"""

import cv2
import numpy as np

from .plan import BACKGROUNDS

_TINT = 26.0  # distance of the tint from grey
_PATTERN = 11.0  # half the contrast of the pattern
_NOISE = 3.0  # standard deviation of the grain


def draw_background(family: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """Render a background of a pattern family, (S, S, 3)."""
    grey = rng.uniform(35, 90) if rng.random() < 0.5 else rng.uniform(165, 215)
    image = np.full((side, side, 3), grey, np.float32) + _tint(family, rng)
    image += _PATTERN * _pattern(family, side, rng)[..., None]
    _add_blobs(image, rng)
    _add_lines(image, rng)
    # Grain of two pixels: visible to a detector, and far cheaper to compress than white noise.
    grain = rng.normal(0, _NOISE, (side // 2 + 1, side // 2 + 1)).astype(np.float32)
    image += cv2.resize(grain, (side, side), interpolation=cv2.INTER_NEAREST)[..., None]
    return image


def _tint(family: str, rng: np.random.Generator) -> np.ndarray:
    """A colour offset whose hue belongs to the family, (3,)."""
    hue = BACKGROUNDS.index(family) / len(BACKGROUNDS) + rng.normal(0, 0.02)
    angles = 2 * np.pi * (hue + np.arange(3) / 3)
    return (_TINT * np.cos(angles)).astype(np.float32)


def _pattern(family: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """The pattern of a family in -1..1, (S, S)."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    period = rng.uniform(0.06, 0.12) * side
    turn = rng.uniform(0, np.pi)
    u = (x * np.cos(turn) + y * np.sin(turn)) * (2 * np.pi / period)
    v = (y * np.cos(turn) - x * np.sin(turn)) * (2 * np.pi / period)
    if family == 'stripes':
        return np.sign(np.sin(u))
    if family == 'checks':
        return np.sign(np.sin(u / 2) * np.sin(v / 2))
    if family == 'dots':
        return np.where(np.sin(u) + np.sin(v) > 1.0, 1.0, -0.3).astype(np.float32)
    if family == 'rings':
        centre = rng.uniform(0, side, 2)
        return np.sin(np.hypot(x - centre[0], y - centre[1]) * (2 * np.pi / period))
    if family == 'waves':
        return np.sin(u + 2 * np.sin(v / 3))
    return (u - u.mean()) / np.abs(u - u.mean()).max()


def _add_blobs(image: np.ndarray, rng: np.random.Generator) -> None:
    """Add a few soft ellipses, in place."""
    side = len(image)
    layer = np.zeros_like(image)
    for _ in range(rng.integers(2, 6)):
        centre = [int(v) for v in rng.integers(0, side, 2)]
        axes = [int(v) for v in rng.uniform(0.03, 0.14, 2) * side + 1]
        colour = rng.uniform(-22, 22, 3).tolist()
        cv2.ellipse(layer, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1)
    image += cv2.GaussianBlur(layer, (0, 0), 0.012 * side)


def _add_lines(image: np.ndarray, rng: np.random.Generator) -> None:
    """Add a few long thin lines of low contrast, in place."""
    side = len(image)
    layer = np.zeros_like(image)
    for _ in range(rng.integers(2, 7)):
        start, end = rng.integers(0, side, (2, 2)).tolist()
        cv2.line(layer, start, end, rng.uniform(-32, 32, 3).tolist(), 1, cv2.LINE_8)
    image += layer
