"""Masks the salient part of an image, so that its background is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmpretrain.registry import TRANSFORMS

from ..errors import BadInputError
from ..values import check_values, is_kind
from .saliency import build_saliency, salient_point


def masked_box(
    height: int, width: int, centre: tuple[int, int], share: float
) -> tuple[int, int, int, int]:
    """Box (x1, y1, x2, y2) in pixels, end excluded, whose sides are ``sqrt(1 - share)`` of the
    image's, about ``centre`` (y, x), cut off at the border (Uddin et al., arXiv 2006.01791).
    """
    ratio = (1 - share) ** 0.5
    h, w = int(height * ratio), int(width * ratio)
    top, left = centre[0] - h // 2, centre[1] - w // 2
    return max(left, 0), max(top, 0), min(left + w, width), min(top + h, height)


def check_mask_arguments(name: str, prob: float, alpha: float, fill: object) -> None:
    """Refuse what no mask can be drawn or filled with; ``name`` is where it is configured.

    Raises:
        BadInputError: ``prob`` not in [0, 1], ``alpha`` not positive, or ``fill`` an unknown word.
    """
    check_values(name, prob=(prob, 'a number in [0, 1]'), alpha=(alpha, 'a number > 0'))
    numbers = fill if isinstance(fill, Sequence) and not isinstance(fill, str) else [fill]
    if fill != 'background' and not all(is_kind(number, 'a number') for number in numbers):
        raise BadInputError(f"{name}.fill is {fill!r}, expected numbers or 'background'")


@TRANSFORMS.register_module()
class SaliencyMask(BaseTransform):
    """Fills a box about the most salient point, and notes the share of the image that stays.

    After the principle of SMCL (arXiv 2406.02223): mask the salient part, keep the background. The
    details are ours. Of ``lambda ~ Beta(alpha, alpha)`` follows a box as in :func:`masked_box`, and
    from its area in the image the visible share. An image without a salient point (a constant one)
    stays whole.

    Reads ``img``, uint8 or float (H, W) or (H, W, channels), after what crops and colours it, and
    before what makes it a tensor. Sets ``img`` (a copy where it is masked), ``visible_share`` (in
    0..1, 1 for whole) and ``mask_box`` (x1, y1, x2, y2 in pixels, or None).

    Args:
        saliency: A map of :mod:`lt_det.datasets.saliency`, or a callable.
        prob: Probability that an image is masked.
        alpha: Of the Beta distribution; 1 is uniform.
        fill: What the box is filled with: one number or one a channel, in the image's own channel
            order and units (the mean of the data set), or ``'background'``: the pixels of the image
            that lie half its sides away. A box of one colour tells a masked image from a whole one,
            so that a network may learn the box in place of the background.

    Raises:
        BadInputError: A number outside its range, unknown saliency, or an image without pixels.
    """

    def __init__(
        self,
        saliency: dict | None = None,
        prob: float = 0.5,
        alpha: float = 1.0,
        fill: float | Sequence[float] | str = (103.53, 116.28, 123.675),
    ) -> None:
        check_mask_arguments('SaliencyMask', prob, alpha, fill)
        self.saliency = build_saliency(saliency or dict(type='SpectralResidual'))
        self.prob = prob
        self.alpha = alpha
        self.fill = None if isinstance(fill, str) else np.asarray(fill, np.float64)

    def transform(self, results: dict) -> dict:
        results.update(visible_share=1.0, mask_box=None)
        if np.random.random() < self.prob:
            image, box, share = self.mask(results['img'], np.random.beta(self.alpha, self.alpha))
            results.update(img=image, visible_share=share, mask_box=box)
        return results

    def mask(
        self, image: np.ndarray, share: float
    ) -> tuple[np.ndarray, tuple[int, int, int, int] | None, float]:
        """Mask ``image`` for a ``share`` drawn in 0..1.

        Returns:
            The masked copy, its box, and the share that is really visible.
        """
        if image.ndim not in (2, 3) or image.size == 0:
            raise BadInputError(
                f'SaliencyMask got an image of shape {image.shape}, expected (height, width) or '
                '(height, width, channels) with at least one pixel'
            )
        if (
            self.fill is not None
            and self.fill.size > 1
            and (image.ndim != 3 or self.fill.size != image.shape[2])
        ):
            raise BadInputError(
                f'SaliencyMask.fill has {self.fill.size} numbers for an image of shape '
                f'{image.shape}, expected one number or one a channel'
            )
        height, width = image.shape[:2]
        point = salient_point(self.saliency(image), height, width)
        if point is None:
            return image, None, 1.0
        box = x1, y1, x2, y2 = masked_box(height, width, point, share)
        share = 1 - (x2 - x1) * (y2 - y1) / (height * width)
        # ColorJitter returns a view with reversed channels: copying and packing it are faster with
        # the channels as they lie in memory
        reversed_channels = image.ndim == 3 and image[..., ::-1].flags.c_contiguous
        order = slice(None, None, -1 if reversed_channels else 1)
        masked = image[..., order].copy()
        if self.fill is None:
            away = np.roll(masked, (height // 2, width // 2), axis=(0, 1))
            masked[y1:y2, x1:x2] = away[y1:y2, x1:x2]
        else:
            # row by row, which is ten times as fast as pixel by pixel
            row = np.empty_like(masked, shape=(x2 - x1, *image.shape[2:]))
            integer = np.issubdtype(image.dtype, np.integer)
            row[..., order] = np.rint(self.fill) if integer else self.fill
            masked[y1:y2, x1:x2] = row
        return masked[..., order], box, share

    def __repr__(self) -> str:
        name = type(self.saliency).__name__
        return f'{type(self).__name__}(saliency={name}, prob={self.prob}, alpha={self.alpha})'


@TRANSFORMS.register_module()
class MaskedMultiView(BaseTransform):
    """MMPretrain's MultiView that keeps how much of each view is visible.

    Sets ``img``, a list of V views, and the tensor ``visible_share`` (V,), for
    ``PackInputs(algorithm_keys=('visible_share',))``.

    Args:
        transforms: One pipeline a kind of view.
        num_views: Views of each kind.

    Raises:
        BadInputError: The two lists are not equally long.
    """

    def __init__(self, transforms: Sequence[Sequence[dict]], num_views: Sequence[int]) -> None:
        if len(transforms) != len(num_views):
            raise BadInputError(
                f'MaskedMultiView has {len(transforms)} pipelines in transforms and '
                f'{len(num_views)} numbers in num_views, expected equally many'
            )
        for number in num_views:
            check_values('MaskedMultiView', num_views=(number, 'a whole number >= 1'))
        pipelines = [Compose(list(steps)) for steps in transforms]
        self.views = [pipeline for pipeline, n in zip(pipelines, num_views) for _ in range(n)]

    def transform(self, results: dict) -> dict:
        # a copy of the pixels for each view: transforms may write into them
        views = [view({**results, 'img': results['img'].copy()}) for view in self.views]
        results['img'] = [view['img'] for view in views]
        shares = [view.get('visible_share', 1.0) for view in views]
        results['visible_share'] = torch.tensor(shares, dtype=torch.float32)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.views})'
