"""SingleRoIExtractor that chooses levels and samples in float32 under mixed precision too."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class Float32RoIExtractor(SingleRoIExtractor):
    """SingleRoIExtractor whose RoIs keep their precision; the same results in float32.

    MMDetection casts RoIs to the type of the features. In float16 the area of a RoI overflows from
    256 x 256 pixels on, which sends those up to 448 pixels to P5, where prediction in float32 looks
    for them on P4; in bfloat16 coordinates from 1024 on are off by up to 4 pixels. Features of half
    precision become float32 here before they are sampled, as torchvision's RoIAlign does under
    autocast anyway, and what was sampled becomes half again.
    """

    def forward(
        self, feats: tuple[Tensor], rois: Tensor, roi_scale_factor: float | None = None
    ) -> Tensor:
        """Features (R, D, h, w) of RoIs (R, 5), in the type of the maps, each (B, D, H_i, W_i)."""
        dtype = feats[0].dtype
        wide = torch.promote_types(dtype, torch.float32)
        features = super().forward(tuple(feat.to(wide) for feat in feats), rois, roi_scale_factor)
        return features.to(dtype)
