from .class_logits import ClassLogits, find_class_logits
from .long_tail import long_tail

__all__ = ['ClassLogits', 'find_class_logits', 'long_tail']
