"""Where an image draws the eye: saliency maps for :class:`SaliencyMask`, by ``saliency=dict(...)``.

A map is a callable from an image (H, W, 3) or (H, W) to float32 (h, w), h and w of its own choice;
larger is more salient. A map without contrast says that nothing is salient.
"""

from __future__ import annotations

import cv2
import numpy as np
from mmengine.registry import Registry
from scipy import fft

from ..errors import BadInputError
from ..values import check_values

ABSENT = 1e-6  # amplitude, relative to the largest, that float32 cannot tell from none
SALIENCY = Registry('saliency', locations=['lt_det.datasets.saliency'])


@SALIENCY.register_module()
class SpectralResidual:
    """What the amplitude spectrum has beyond its local average (Hou and Zhang, CVPR 2007).

    With the Fourier transform F of the grey image, reduced to ``side`` x ``side`` pixels::

        L = ln |F|,    R = L - mean3x3(L),    map = gauss(|F^-1(exp(R + i angle F))|^2)

    (their equations 2 to 5 for 64 pixels). The spectrum is periodic, so the mean wraps around.

    Args:
        side: Pixels of the reduced image, and of the map.
        sigma: Of the Gaussian, in pixels of the map; 8 in the paper, whose maps are looked at as
            a whole. Here one point is read off, for which 3 is closer to the object.
        edge: Pixels of the map, on each side, whose response counts as 0. The transform joins
            opposite borders of the image, and where these differ, the seam may outshine the object
            (benchmarks/results/saliency_point.md). 0 is the paper.

    Raises:
        BadInputError: ``side`` below 3, ``sigma`` not positive, ``edge`` negative, or no map left.
    """

    def __init__(self, side: int = 64, sigma: float = 3.0, edge: int = 2) -> None:
        check_values(
            'saliency',
            side=(side, 'a whole number >= 3'),
            sigma=(sigma, 'a number > 0'),
            edge=(edge, 'a whole number >= 0'),
        )
        if 2 * edge >= side:
            raise BadInputError(
                f'saliency.edge is {edge}, expected less than half of side ({side})'
            )
        self.side = side
        self.sigma = sigma
        self.inside = slice(edge, side - edge)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Map (side, side) of an image; all 0 where the image is constant."""
        side = self.side
        small = reduce(grey(image), side).astype(np.float32)
        if small.max() == small.min():
            return np.zeros_like(small)
        spectrum = fft.rfft2(small)
        power = spectrum.real**2 + spectrum.imag**2
        # a frequency that is absent (rounding error) has no phase: it must not be raised
        log = cv2.log(np.maximum(power, ABSENT**2 * power.max()))
        around = cv2.blur(wrap(log, side), (3, 3))[1:-1, 1:-1]
        # exp(R) over |F| is exp(-mean of L), and L half the logarithm of the power
        response = fft.irfft2(spectrum * cv2.exp(-0.5 * around), (side, side))
        energy = np.zeros_like(small)
        energy[self.inside, self.inside] = np.square(response[self.inside, self.inside])
        return cv2.GaussianBlur(energy, (0, 0), self.sigma)


def reduce(image: np.ndarray, side: int) -> np.ndarray:
    """An image (H, W) of ``side`` x ``side`` pixels, each the mean of an area."""
    # OpenCV halves many times as fast as it averages over parts of pixels
    while min(image.shape) >= 2 * side and not (image.shape[0] | image.shape[1]) & 1:
        size = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def wrap(spectrum: np.ndarray, side: int) -> np.ndarray:
    """The symmetric half (side, side // 2 + 1) of a spectrum, and its neighbours on all sides."""
    half = spectrum.shape[1]
    padded = np.empty((side + 2, half + 2), spectrum.dtype)
    padded[1:-1, 1:-1] = spectrum
    mirror = -np.arange(side)  # F(-y, -x) is the conjugate of F(y, x)
    padded[1:-1, 0] = spectrum[mirror, 1]
    padded[1:-1, -1] = spectrum[mirror, side - half]
    padded[0], padded[-1] = padded[-2], padded[1]
    return padded


@SALIENCY.register_module()
class FineGrained:
    """OpenCV's fine-grained static saliency (Montabone and Soto 2010), (H, W).

    Raises:
        BadInputError: This OpenCV has no ``cv2.saliency``.
    """

    def __init__(self) -> None:
        if not hasattr(cv2, 'saliency'):
            raise BadInputError(
                "saliency.type is 'FineGrained', which needs cv2.saliency; this OpenCV has none, "
                'only the builds named opencv-contrib have (they replace the others, do not '
                "install both); type='SpectralResidual' works with every OpenCV"
            )
        self.method = cv2.saliency.StaticSaliencyFineGrained_create()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Map (H, W) of an image."""
        return np.asarray(self.method.computeSaliency(grey(image))[1], np.float32)

    def __reduce__(self):
        return FineGrained, ()  # the OpenCV object cannot be sent to a worker


@SALIENCY.register_module()
class RandomPoint:
    """One point anywhere, whatever the image shows: the control for every saliency."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Map (H, W) that is 1 at the point."""
        saliency = np.zeros(image.shape[:2], np.float32)
        saliency.flat[np.random.randint(saliency.size)] = 1
        return saliency


def build_saliency(cfg: dict | object):
    """A map from its config, or a callable as it is.

    Raises:
        BadInputError: There is no such map, or it does not take an argument.
    """
    if callable(cfg):
        return cfg
    arguments = dict(cfg)
    name = arguments.pop('type', None)
    if name not in SALIENCY.module_dict:
        raise BadInputError(
            f"saliency.type is '{name}', expected one of {sorted(SALIENCY.module_dict)}"
        )
    try:
        return SALIENCY.get(name)(**arguments)
    except TypeError as error:
        raise BadInputError(f'saliency={dict(cfg)}: {error}') from error


def salient_point(saliency: np.ndarray, height: int, width: int) -> tuple[int, int] | None:
    """Pixel (y, x), in an image of the given size, where a map (h, w) is largest.

    None where the map has no contrast or is not finite: then nothing is salient.
    """
    y, x = divmod(int(saliency.argmax()), saliency.shape[1])  # of a NaN, if there is one
    largest = saliency[y, x]
    if not np.isfinite(largest) or largest <= saliency.min():
        return None
    return (2 * y + 1) * height // (2 * saliency.shape[0]), (2 * x + 1) * width // (
        2 * saliency.shape[1]
    )


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) of an image (H, W), (H, W, 1) or (H, W, 3) in BGR."""
    if image.dtype == np.float64:  # OpenCV converts no colours in it
        image = image.astype(np.float32)
    if image.ndim == 3 and image.shape[2] == 3:
        pixels = image[..., ::-1]
        if pixels.flags.c_contiguous:  # what ColorJitter returns: OpenCV would copy it first
            return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return image.reshape(image.shape[:2])
