"""Classical restoration of corrupted images, without learning, by scikit-image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from orchestrator.data.corruptions import Corrupted, Corruption, GaussianNoise

if TYPE_CHECKING:
    from numpy.typing import NDArray


def baseline(corruption: Corruption, corrupted: Corrupted) -> tuple[str, Tensor]:
    """The name of the method for this corruption and the restored images, (n, c, h, w) in [0, 1], on the processor.

    ``total_variation`` for noise (Chambolle 2004; its weight is the noise's standard deviation), ``biharmonic`` for
    occlusions (Damelin and Hoang 2018; it is given the mask).
    """
    images = corrupted.images.permute(0, 2, 3, 1).double().cpu().numpy()
    if isinstance(corruption, GaussianNoise):
        name, restored = "total_variation", [_total_variation(image, corruption.std) for image in images]
    else:
        hidden = ~corrupted.observed[:, 0].cpu().numpy()
        name, restored = "biharmonic", [_biharmonic(*pair) for pair in zip(images, hidden, strict=True)]
    stacked = torch.from_numpy(np.stack(restored)).permute(0, 3, 1, 2)
    return name, stacked.to(corrupted.images.dtype).clamp(0, 1)


def _total_variation(image: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    from skimage.restoration import denoise_tv_chambolle

    restored: NDArray[np.float64] = denoise_tv_chambolle(image, weight=weight, channel_axis=-1)
    return restored


def _biharmonic(image: NDArray[np.float64], hidden: NDArray[np.bool_]) -> NDArray[np.float64]:
    from skimage.restoration import inpaint_biharmonic

    restored: NDArray[np.float64] = inpaint_biharmonic(image, hidden, channel_axis=-1)
    return restored
