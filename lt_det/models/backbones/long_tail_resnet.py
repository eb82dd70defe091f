"""The residual networks of the long-tail literature that MMPretrain does not have."""

from __future__ import annotations

from mmpretrain.models.backbones import ResNet, ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock
from mmpretrain.models.utils import SELayer
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F


@MODELS.register_module()
class LongTailResNet(ResNet):
    """MMPretrain's ResNet with depth 10 besides: one basic block per stage.

    The ResNet-10 of ImageNet-LT (Liu et al., arXiv 1904.05160).
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1)), **ResNet.arch_settings}


class PadShortcut(nn.Module):
    """Every second pixel, with zeros for the new channels (He et al., arXiv 1512.03385, option A).

    Args:
        channels: New channels.
        stride: Of the block.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to (B, D + channels, h / stride, w / stride)."""
        before = self.channels // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, before, self.channels - before))


class SEBasicBlock(BasicBlock):
    """BasicBlock with squeeze and excitation (Hu et al., arXiv 1709.01507) before the addition."""

    def __init__(self, in_channels: int, out_channels: int, se_ratio: int = 16, **kwargs) -> None:
        super().__init__(in_channels, out_channels, **kwargs)
        # behind the drop path, which is the last that BasicBlock does to the branch
        self.drop_path = nn.Sequential(self.drop_path, SELayer(out_channels, ratio=se_ratio))


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """ResNet for 32 x 32 pixels: three stages of 16, 32 and 64 channels (He et al., section 4.2).

    Depth 6 n + 2 has n basic blocks per stage: 20, 32, 44, 56 (32 is the usual one on CIFAR-LT).
    Shortcuts have no parameters (option A).

    Args:
        depth: 20, 32, 44 or 56.
        **kwargs: Those of MMPretrain's ResNet_CIFAR.
    """

    arch_settings = {6 * n + 2: (BasicBlock, (n, n, n)) for n in (3, 5, 7, 9)}

    def __init__(self, depth: int = 32, base_channels: int = 16, **kwargs) -> None:
        three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
        super().__init__(
            depth,
            base_channels=base_channels,
            **{'stem_channels': base_channels, **three, **kwargs},
        )
        for name in self.res_layers:
            block = getattr(self, name)[0]
            if block.downsample is not None:
                block.downsample = PadShortcut(block.out_channels - block.in_channels, block.stride)


@MODELS.register_module()
class CIFARSEResNet(CIFARResNet):
    """CIFARResNet with squeeze and excitation in every block."""

    arch_settings = {
        depth: (SEBasicBlock, blocks) for depth, (_, blocks) in CIFARResNet.arch_settings.items()
    }
