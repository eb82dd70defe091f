from .cam_roi_head import CAMCalibratedRoIHead
from .class_indexed_mask_head import ClassIndexedHTCMaskHead, ClassIndexedMaskHead
from .fasa_bbox_head import FASABBoxHead
from .long_tail_bbox_head import LongTailBBoxHead

__all__ = [
    'CAMCalibratedRoIHead',
    'ClassIndexedHTCMaskHead',
    'ClassIndexedMaskHead',
    'FASABBoxHead',
    'LongTailBBoxHead',
]
