"""Long-tailed detection and classification for MMDetection and MMPretrain.

Importing ``lt_det`` imports none of these packages. It makes their registries know every component
of ``lt_det`` (:mod:`lt_det.components`) as soon as something is looked up in them, whichever of the
packages is imported first. Without MMDetection the parts that need only torch and numpy
(``lt_det.frequency``, ``lt_det.adjustments``, ``lt_det.evaluation``) still work.
"""

from .compat import registration
from .version import __version__

registration.install()

__all__ = ['__version__']
