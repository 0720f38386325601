"""The sizes of the studies' networks, which docs/job-file.md states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from orchestrator.data.images import ImageShape
from orchestrator.models import AnyModel

MNIST, FACES, FISH = ImageShape(1, 28, 28), ImageShape(3, 64, 64), ImageShape(3, 140, 320)
DOCUMENT = Path(__file__).parents[2] / "docs" / "job-file.md"
COUNTS: dict[str, tuple[dict[str, Any], ImageShape, int, int]] = {
    # study: settings, images, parameters of the generator and of the discriminator
    "A1": ({"kind": "dcgan"}, MNIST, 759_681, 138_689),
    "A2": ({"kind": "small_dcgan"}, MNIST, 837_505, 84_141),
    "A3": ({"kind": "fully_connected", "latent_dim": 50}, MNIST, 1_475_344, 1_460_225),
    "A3, mixed": ({"kind": "mixed_layers", "latent_dim": 50}, MNIST, 681_265, 1_460_225),
    "A5": ({"kind": "dcgan"}, FACES, 3_576_707, 2_765_633),
    "B1": ({"kind": "dcgan", "width": 16, "max_width": 32, "depth": 3}, FISH, 2_325_411, 44_433),
    "B2": ({"kind": "dcgan", "max_width": 512}, FISH, 8_333_187, 5_798_721),
    "B4": (
        {"kind": "fully_connected", "generator_widths": [128, 256, 512], "discriminator_widths": [512, 256, 128]},
        FISH,
        69_125_632,
        68_977_665,
    ),
    "C": ({"kind": "residual"}, ImageShape(3, 32, 32), 2_252_739, 2_367_425),
    "C, faces": ({"kind": "residual"}, FACES, 8_300_995, 9_578_689),
    "C2": ({"kind": "residual", "width": 96}, FACES, 18_057_891, 21_547_297),
    "C4": ({"kind": "residual", "skip_z": "chunks"}, FACES, 7_740_355, 9_578_689),
    "B9": ({"kind": "autoencoding", "latent_dim": 256, "width": 32}, FISH, 521_475, 5_304_643),
    "B9, small": ({"kind": "autoencoding", "latent_dim": 256}, FACES, 1_345_795, 8_493_123),
}


@pytest.mark.parametrize("study", sorted(COUNTS))
def test_the_studies_networks_have_as_many_parameters_as_the_documents_say(study: str) -> None:
    settings, shape, generator, discriminator = COUNTS[study]
    model = TypeAdapter(AnyModel).validate_python(settings)
    networks = model.build_generator(shape), model.build_discriminator(shape)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [generator, discriminator]


@pytest.mark.parametrize("study", sorted(COUNTS))
def test_the_documents_row_holds_the_settings_and_the_counts(study: str) -> None:
    settings, shape, generator, discriminator = COUNTS[study]
    (row,) = (row for row in DOCUMENT.read_text().splitlines() if row.startswith(f"| {study} |"))
    _, _, written, size, *counts, _ = (cell.strip() for cell in row.split("|"))
    assert yaml.safe_load(written.strip("`")) == settings
    assert (size, counts) == (str(shape), [f"{generator:,}", f"{discriminator:,}"])
