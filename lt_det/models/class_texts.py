"""Unit features of class names from the text tower of a CLIP model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import BadInputError
from .open_clip import build_tokenizer

_TEXTS = 1024  # encoded at a time where nothing is kept: the hidden layer of a ViT-B takes 0.6 GB


def tokenize_classes(
    clip: nn.Module, name: str, class_names: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Tokens (T, C, L) of every template and class name.

    Where the tower is causal, L is the length of the longest text: what follows the end of a text
    changes nothing. Else it is the context length.

    Args:
        clip: The model.
        name: Its name in open_clip.
        class_names: C names.
        templates: T of them, with one ``{}`` each.

    Raises:
        BadInputError: Two classes have the same tokens.
    """
    tokenizer = build_tokenizer(name, clip.context_length)
    tokens = torch.stack([tokenizer([t.format(n) for n in class_names]) for t in templates])
    seen: dict[tuple[int, ...], int] = {}
    for label, row in enumerate(tokens[0].tolist()):
        other = seen.setdefault(tuple(row), label)
        if other != label:
            raise BadInputError(
                f"class names '{class_names[other]}' and '{class_names[label]}' give the same "
                f'{tokens.shape[-1]} tokens'
            )
    if _causal_names(clip) is None:
        return tokens
    return tokens[..., : int(tokens.argmax(-1).max()) + 1]


def encode_classes(clip: nn.Module, tokens: Tensor, chunk: int | None = None) -> Tensor:
    """Normalised mean (C, D) over templates of the unit text features of tokens (T, C, L).

    Args:
        clip: The model.
        tokens: From :func:`tokenize_classes`.
        chunk: Texts encoded at a time. Where gradients are wanted, the activations of a chunk are
            computed again in the backward pass instead of being kept. Default: all where
            gradients are wanted, else 1024.
    """
    flat = tokens.flatten(0, 1)
    if chunk is None and not torch.is_grad_enabled():
        chunk = _TEXTS
    parts = []
    for part in flat.split(chunk or len(flat)):
        if chunk and torch.is_grad_enabled():
            # nothing in the tower is random
            again = dict(use_reentrant=False, preserve_rng_state=False)
            parts.append(checkpoint(_encode, clip, part, **again))
        else:
            parts.append(_encode(clip, part))
    features = torch.cat(parts).to(clip.logit_scale.dtype).unflatten(0, tokens.shape[:2])
    return F.normalize(F.normalize(features, dim=-1).mean(0), dim=-1)


def _encode(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Text features (K, D) of tokens (K, L), L up to the context length."""
    names, used = _causal_names(clip), tokens.shape[1]
    if names is None or used == clip.context_length:
        return clip.encode_text(tokens)
    position, mask = names
    shortened = {
        f'clip.{position}': clip.get_parameter(position)[:used],
        f'clip.{mask}': clip.get_buffer(mask)[:used, :used],
    }
    return functional_call(_TextTower(clip), shortened, (tokens,))


def _causal_names(clip: nn.Module) -> tuple[str, str] | None:
    """Parameter and mask that are as long as a text, where nothing looks ahead; else None."""
    prefix = 'text.' if hasattr(clip, 'text') else ''
    text = clip.text if prefix else clip
    pool = getattr(text, 'pool_type', getattr(text, 'text_pool_type', None))
    # the token with the largest id ends a text, and a causal mask hides what follows it
    if getattr(text, 'attn_mask', None) is None or pool != 'argmax':
        return None
    return f'{prefix}positional_embedding', f'{prefix}attn_mask'


class _TextTower(nn.Module):
    """``encode_text`` as the forward of a module, for :func:`torch.func.functional_call`."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor) -> Tensor:
        return self.clip.encode_text(tokens)
