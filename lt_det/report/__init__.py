from .classification_plots import plot_accuracy_by_frequency, plot_reliability
from .pictures import draw_detections
from .plots import plot_ap_by_frequency
from .table import format_table

__all__ = [
    'draw_detections',
    'format_table',
    'plot_accuracy_by_frequency',
    'plot_ap_by_frequency',
    'plot_reliability',
]
