from .class_frequency_hook import ClassFrequencyHook
from .epoch_seed import EpochSeedHook, seed_worker
from .first_stage_hook import FirstStageHook
from .module_epoch_hook import ModuleEpochHook
from .report_hook import ReportHook

__all__ = [
    'ClassFrequencyHook',
    'EpochSeedHook',
    'FirstStageHook',
    'ModuleEpochHook',
    'ReportHook',
    'seed_worker',
]
