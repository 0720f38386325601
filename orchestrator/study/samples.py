"""Images drawn from a trained generator: as the evaluation ``quality`` draws them, and along paths between two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from orchestrator.data._tiles import tiled
from orchestrator.data.ranges import to_bytes, unit_from_bytes
from orchestrator.errors import SettingsError
from orchestrator.evaluations.inputs.sampling import BATCH, draw_latents, images_of, sizes_of
from orchestrator.evaluations.interpolation.paths import PATHS
from orchestrator.spec.messages import show
from orchestrator.text import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from orchestrator.study.trained import Trained

MOST_ON_SHEET = 1024
"""Images, or strips, that are joined to one sheet."""
_LAST_SEED, _MOST_TRUNCATION = 2**32 - 1, 10.0


def draw(trained: Trained, count: int, seed: int = 0, truncation: float | None = None) -> Iterator[Tensor]:
    """Batches (b, c, h, w) of ``count`` images in [-1, 1], on the generator's device, one after the other.

    Latent vectors come from N(0, I), or from there truncated to [-truncation, truncation]; they depend on the seed
    alone, so that of two counts the lesser's are the first of the greater's, and thresholds share their draws. They are
    those of the evaluation ``quality`` with this seed. Raises SettingsError at once, EvaluationError where an image is
    not finite.
    """
    latents = latents_of(trained.settings.latent_dim, count, seed, truncation)
    return (images for batch in latents for images in images_of(trained, batch))


def latents_of(latent_dim: int, count: int, seed: int = 0, truncation: float | None = None) -> Iterator[Tensor]:
    """Batches (b, latent_dim) of the latent vectors that ``draw`` takes, on the CPU. Raises SettingsError at once."""
    _check("count", count, 1, None)
    _check("seed", seed, 0, _LAST_SEED)
    if truncation is not None and not 0 < truncation <= _MOST_TRUNCATION:
        raise SettingsError("truncation", "", f"got {show(truncation)}, expected a number > 0 and <= 10")
    source = torch.Generator().manual_seed(seed)
    limit = math.inf if truncation is None else truncation
    return draw_latents(sizes_of(count), latent_dim, limit, source)


def paths_between(
    trained: Trained, count: int, way: str = "spherical", seed: int = 0, truncation: float | None = None
) -> Iterator[Tensor]:
    """Paths (points, c, h, w) of images in [-1, 1] between ``count`` pairs of latent vectors: see ``paths.SHARES``.

    The latent vectors are those of ``draw``, two in a row being a pair. Raises as ``draw``.
    """
    if way not in PATHS:
        raise SettingsError("interpolate", "", f"got {show(way)}, expected {listing(PATHS, 'or')}")
    _check("count", count, 1, None)
    batches = latents_of(trained.settings.latent_dim, 2 * count, seed, truncation)  # none parts a pair: sizes are even
    paths = (PATHS[way](pair[:1], pair[1:]).flatten(0, 1) for batch in batches for pair in torch.split(batch, 2))
    return (torch.cat(list(images_of(trained, path))) for path in paths)


assert BATCH % 2 == 0


def png_of(images: Tensor) -> bytes:
    """PNG of images in [-1, 1]: (c, h, w) by itself, (n, c, h, w) in a row."""
    shown = unit_from_bytes(to_bytes(images))
    return tiled(shown[None, None] if images.dim() == 3 else shown[None])


def sheet_of(rows: Sequence[Tensor]) -> bytes:
    """PNG of rows (n, c, h, w) of images in [-1, 1], one below the other."""
    return tiled(unit_from_bytes(to_bytes(torch.stack(list(rows)).cpu())))


def check_sheet(count: int) -> None:
    """Raise SettingsError where one sheet does not hold so many images."""
    if count > MOST_ON_SHEET:
        raise SettingsError("count", "", f"got {count}, expected at most {MOST_ON_SHEET} on one sheet")


def in_rows(images: Tensor) -> list[Tensor]:
    """Images (n, c, h, w) in rows of a sheet that is about as wide as high; the last row is filled up with white."""
    across = math.ceil(math.sqrt(len(images)))
    missing = -len(images) % across
    white = images.new_ones(missing, *images.shape[1:])
    return list(torch.split(torch.cat([images, white]), across))


def _check(name: str, value: int, least: int, most: int | None) -> None:
    if value < least or (most is not None and value > most):
        to = "" if most is None else f" and <= {most}"
        raise SettingsError(name, "", f"got {show(value)}, expected a whole number >= {least}{to}")
