from . import backbones, classifiers, instance_tta, layers, losses, roi_heads
