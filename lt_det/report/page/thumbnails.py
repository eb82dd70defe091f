"""Small pictures inside a page."""

from __future__ import annotations

import base64

import cv2
import numpy as np

SIDE, QUALITY = 160, 80
_EXACT = 0.7  # pixels that an outline may be off
_DARKEST = 150  # of 255
_SMOOTH = 40


def shrunk(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) of which no side is longer than ``SIDE``."""
    height, width = image.shape[:2]
    scale = min(SIDE / max(height, width), 1.0)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def jpeg(image: np.ndarray) -> bytes:
    """JPEG of an image (H, W, 3) in OpenCV's order of channels."""
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def veil(attention: np.ndarray) -> bytes:
    """PNG that, laid over a picture, darkens it where a map (h, w) in 0..1 is low.

    It has at least 40 pixels a side, for on paper a browser draws the squares of fewer.
    """
    height, width = attention.shape
    scale = max(1, -(-_SMOOTH // min(height, width)))
    dark = _DARKEST * (1 - attention.astype(np.float32))
    size = width * scale, height * scale
    dark = cv2.resize(dark, size, interpolation=cv2.INTER_LINEAR)
    layers = np.zeros((*dark.shape, 4), np.uint8)
    layers[..., 3] = np.rint(dark)
    return cv2.imencode('.png', layers)[1].tobytes()


def outline_of(mask: np.ndarray, scales: np.ndarray | float = 1.0) -> list[list[float]] | None:
    """The largest part of a mask (h, w) as a polygon [[x, y], ...]; None of an empty one.

    Args:
        mask: Of any type; what is not 0 is in it.
        scales: Pixels of the picture per pixel of the mask, of x and y.
    """
    contours = cv2.findContours(
        np.ascontiguousarray(mask, np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )[0]
    if not contours:
        return None
    largest = max(contours, key=cv2.contourArea)
    points = cv2.approxPolyDP(largest, _EXACT / float(np.max(scales)), True)[:, 0]
    return ((points + 0.5) * scales).round(1).tolist()


def as_url(content: bytes, kind: str) -> str:
    """A picture as the address of an image in a page."""
    return f'data:image/{kind};base64,' + base64.b64encode(content).decode()
