from . import backbones, classifiers, layers, losses, roi_heads
