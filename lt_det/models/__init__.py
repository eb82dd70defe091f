from . import (
    any_detector,
    backbones,
    classifiers,
    instance_tta,
    layers,
    losses,
    roi_heads,
    task_modules,
)
