from .cam_roi_head import CAMCalibratedRoIHead
from .long_tail_bbox_head import LongTailBBoxHead

__all__ = ['CAMCalibratedRoIHead', 'LongTailBBoxHead']
