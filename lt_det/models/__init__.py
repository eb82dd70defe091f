from . import roi_heads
