"""iResNet-100, the backbone of ArcFace for face recognition.

Source: Duta et al., "Improved Residual Networks for Image and Video Recognition", ICPR 2020; Deng et al., "ArcFace:
Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.
"""

from __future__ import annotations

from torch import Tensor, nn

IRESNET100_BLOCKS = (3, 13, 30, 3)
SIDE_PX = 112
"""Side of the input images in pixels."""
EMBEDDING = 512
"""Size of the embedding."""
_WIDTHS = (64, 128, 256, 512)


class IResNet(nn.Module):
    """Maps images (B, 3, 112, 112) in [-1, 1] to embeddings (B, 512), not normalised.

    Args:
        blocks: Number of blocks in each of the four stages; each stage halves the resolution.
    """

    def __init__(self, blocks: tuple[int, int, int, int] = IRESNET100_BLOCKS) -> None:
        super().__init__()
        first, last = _WIDTHS[0], _WIDTHS[-1]
        self.conv1 = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.prelu = nn.PReLU(first)
        channels = first
        for number, (width, count) in enumerate(zip(_WIDTHS, blocks), start=1):
            stage = [_Block(channels if k == 0 else width, width, stride=2 if k == 0 else 1) for k in range(count)]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
            channels = width
        self.bn2 = nn.BatchNorm2d(last)
        self.fc = nn.Linear(last * (SIDE_PX // 16) ** 2, EMBEDDING)
        self.features = nn.BatchNorm1d(EMBEDDING)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, 512) of images (B, 3, 112, 112)."""
        maps = self.prelu(self.bn1(self.conv1(images)))
        for number in range(1, len(_WIDTHS) + 1):
            maps = self.get_submodule(f"layer{number}")(maps)
        return self.features(self.fc(self.bn2(maps).flatten(1)))


class _Block(nn.Module):
    """Norm, convolution, norm, PReLU, convolution, norm; no activation after the shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(maps)))))
        return self.bn3(inner) + (maps if self.downsample is None else self.downsample(maps))
