"""Evaluation of long-tailed detectors; importing it needs neither torch nor MMDetection."""

from .lvis_eval import LVISEvaluator

__all__ = ['LVISEvaluator']
