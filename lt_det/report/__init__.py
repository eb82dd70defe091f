"""Tables and pictures of results; each is imported when it is used."""

from ..lazy import lazy_names

_NAMES = {
    'classification_plots': ('plot_accuracy_by_frequency', 'plot_reliability'),
    'pictures': ('draw_detections',),
    'plots': ('plot_ap_by_frequency',),
    'summary': ('summarize',),
    'table': ('format_table',),
}
__all__ = [name for names in _NAMES.values() for name in names]
__getattr__ = lazy_names(__name__, _NAMES)
