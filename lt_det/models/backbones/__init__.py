from .long_tail_resnet import CIFARResNet, CIFARSEResNet, LongTailResNet

__all__ = ['CIFARResNet', 'CIFARSEResNet', 'LongTailResNet']
