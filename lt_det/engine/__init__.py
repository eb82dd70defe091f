from .backbone_hook import BackboneHook
from .checkpoint_fit_hook import CheckpointFitHook
from .checkpoint_hook import WholeCheckpointHook
from .class_frequency_hook import ClassFrequencyHook
from .console_hook import ConsoleHook
from .epoch_seed import EpochSeedHook, seed_worker
from .export_clip_hook import ExportClipHook
from .feature_cache_hook import FeatureCacheHook
from .federated_labels_hook import FederatedLabelsHook
from .first_images_hook import FirstImagesHook
from .first_stage_hook import FirstStageHook
from .module_epoch_hook import ModuleEpochHook
from .phase_runner import PhaseRunner
from .recompute_hook import RecomputeHook
from .report_hook import ReportHook
from .words_hook import WordsHook

__all__ = [
    'BackboneHook',
    'CheckpointFitHook',
    'ClassFrequencyHook',
    'ConsoleHook',
    'EpochSeedHook',
    'FederatedLabelsHook',
    'FirstImagesHook',
    'FirstStageHook',
    'ModuleEpochHook',
    'RecomputeHook',
    'ReportHook',
    'WholeCheckpointHook',
    'WordsHook',
    'seed_worker',
]
