"""Where half precision, chosen by autocast or by the model, is not enough."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """Half precision as float32, any other as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(like: Tensor) -> AbstractContextManager:
    """No autocast on the device of a tensor: products take the type of their factors."""
    kind = like.device.type
    if not torch.amp.is_autocast_available(kind):  # as on the meta device
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """Vectors divided by their Euclidean norms, in float32 at least.

    Vectors too short for their type to have a direction become 0, with a gradient of 0; by a
    fixed small divisor it would be so large that half precision overflows.

    Args:
        x: Any shape.
        dim: That of the vectors.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=wide)
    shortest = max(torch.finfo(x.dtype).tiny, 1e-12)
    return x / norm.masked_fill(norm <= shortest, torch.inf)
