from .cam_roi_head import CAMCalibratedRoIHead
from .class_indexed_mask_head import ClassIndexedHTCMaskHead, ClassIndexedMaskHead
from .fasa_bbox_head import FASABBoxHead
from .float32_roi_extractor import Float32RoIExtractor
from .long_tail_bbox_head import LongTailBBoxHead

__all__ = [
    'CAMCalibratedRoIHead',
    'ClassIndexedHTCMaskHead',
    'ClassIndexedMaskHead',
    'FASABBoxHead',
    'Float32RoIExtractor',
    'LongTailBBoxHead',
]
