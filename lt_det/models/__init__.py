from . import (
    any_detector,
    backbones,
    classifiers,
    instance_tta,
    layers,
    losses,
    quick_rpn_head,
    roi_heads,
    task_modules,
)
