"""What the naive references share, and the comparison of half precision with float32."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)


def boxes(count: int, dtype: torch.dtype = torch.float32, size: float = 50) -> Tensor:
    """Random boxes (x1, y1, x2, y2)."""
    corners = torch.rand(count, 2, dtype=dtype) * size
    return torch.cat([corners, corners + 1 + torch.rand(count, 2, dtype=dtype) * size * 0.6], 1)


def overlap(a: list[float], b: list[float], offset: int = 0) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def bilinear(plane: list[list[float]], y: float, x: float) -> float:
    """Value at (y, x) of a map that is 0 outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(plane) and 0 <= column < len(plane[0]):
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total += weight * plane[row][column]
    return total


def bilinear_of_border(plane: list[list[float]], y: float, x: float) -> float:
    """Value at (y, x) of a map that goes on for one cell with the values of its border."""
    height, width = len(plane), len(plane[0])
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    return bilinear(plane, min(max(y, 0), height - 1), min(max(x, 0), width - 1))


def compare_halves(op: Callable[..., Tensor], *tensors: Tensor) -> None:
    """Output and gradients in both half types equal those of the same numbers in float32.

    Args:
        op: Called with the tensors; those of floating point are given in half precision.
    """
    for dtype in HALVES:
        exact = [t.to(dtype).float() if t.is_floating_point() else t for t in tensors]
        half = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
        results = []
        for arguments in (exact, half):
            leaves = [a.requires_grad_() for a in arguments if a.is_floating_point()]
            output = op(*arguments)
            assert output.dtype == arguments[0].dtype
            weight = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.dtype)
            gradients = torch.autograd.grad(output, leaves, weight, allow_unused=True)
            results.append([output.detach(), *(g for g in gradients if g is not None)])
        tolerance = 4 * torch.finfo(dtype).eps
        for given, expected in zip(results[1], results[0]):
            scale = float(expected.abs().max()) if expected.numel() else 1.0
            torch.testing.assert_close(
                given.float(), expected, rtol=tolerance, atol=tolerance * scale
            )
