"""Held-out images by way of their latent vectors, and the sharpness of samples: tables and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.evaluations.reconstruction.settings import SHOWN, Reconstruction
from orchestrator.report import text
from orchestrator.report.measured import Cells, MeasuredTable
from orchestrator.report.pictures import Album

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.report.results import Results

MEASURES = {"mse": "MSE", "psnr": "PSNR, dB", "ssim": "SSIM", "sharpness": "sharpness over its own"}
SHARPNESS = {"ratio": "over the data's", "sharpness": "of samples", "real": "of the data"}


def _cells(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Cells:
    return Cells.of(results, "reconstruction", ("image_id",), varying, names)


def reconstructed(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> MeasuredTable | None:
    """Means over a trial's images by where their latent vectors come from; None where nothing was reconstructed."""
    return _cells(results, varying, names).table({"method": "latent vector by"}, MEASURES)


def sharpened(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> MeasuredTable | None:
    """How sharp samples are, over the data and by themselves; None where it was not measured."""
    return Cells.of(results, "sharpness", (), varying, names).table({}, SHARPNESS)


def rebuilt(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Album:
    """For each cell the picture of the first seed: images above, what came back below."""
    album = Album(results.store)
    for _, title, cell in _cells(results, varying, names):
        trial, evaluation, method = cell[["trial_id", "evaluation_id", "method"]].iloc[0]
        shown = text.plural(min(SHOWN, int((cell["trial_id"] == trial).sum())), "held-out image")
        alt = f"{title or 'all trials'}: {shown}, what came back below, latent vectors by {method}."
        album.add(Reconstruction.picture_of(evaluation, trial, "gallery"), trial, title, alt)
    return album
