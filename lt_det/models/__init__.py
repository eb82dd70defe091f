from . import layers, roi_heads
