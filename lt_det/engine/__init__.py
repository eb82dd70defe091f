from .class_frequency_hook import ClassFrequencyHook
from .epoch_seed import EpochSeedHook, seed_worker
from .report_hook import ReportHook

__all__ = ['ClassFrequencyHook', 'EpochSeedHook', 'ReportHook', 'seed_worker']
