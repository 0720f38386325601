"""What the pretended device shows, as two tables: ``python -m tests.device.table``.

The first counts, for each family, the cases of ``test_steps``, what mixes host and device in them, and what the host
waits for in a step. The second counts the operations of a step that launch kernels, for architectures of papers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch

from orchestrator.data.batches import to_device
from orchestrator.distributed.group import ALONE
from orchestrator.training.learners import learner_of
from orchestrator.training.settings import TrialSettings
from tests.device.cases import cases, images
from tests.device.pretend import DeviceMixError, Pretended
from tests.jobs import raw_settings

STEPS: dict[str, dict[str, Any]] = {
    "DCGAN": {"model": {"kind": "dcgan"}, "objective": {"kind": "non_saturating"}},
    "residual networks": {"model": {"kind": "residual"}, "objective": {"kind": "hinge"}},
    "BEGAN": {"model": {"kind": "autoencoding"}, "objective": {"kind": "began"}},
    "WGAN-GP, 5 updates of D": {
        "model": {"kind": "dcgan", "discriminator_norm": "layer"},
        "objective": {"kind": "wgan_gp"},
        "training": {"d_steps": 5},
    },
    "Glow, 2 levels of 8 steps": {"model": {"kind": "glow"}, "objective": {"kind": "likelihood"}},
    "DCGAN, unrolled 5 times": {
        "model": {"kind": "dcgan"},
        "objective": {"kind": "non_saturating"},
        "training": {"unrolled_steps": 5},
    },
}
"""At small widths, which change no operation."""


class Step(NamedTuple):
    """What the second step of a trial shows."""

    mixes: int
    waits: int
    launches: int


def second_step(settings: TrialSettings) -> Step:
    """The first one makes things ready."""
    with Pretended() as device:
        try:
            learner = learner_of(settings, to_device(images(), "cuda"), ALONE)
            learner.step()
            device.forget()
            learner.step()
        except DeviceMixError:
            pass  # noted by the device
        return Step(len(device.mixes), device.waits.total(), device.launches)


def architecture(name: str, precision: str) -> TrialSettings:
    """The settings of a row of the second table."""
    sections = {section: dict(values) for section, values in STEPS[name].items()}
    if sections["model"]["kind"] != "glow":
        sections["model"] |= {"latent_dim": 8}
    sections["model"] |= {"width": 2}
    precision = "auto" if sections["objective"]["kind"] == "likelihood" else precision
    sections["training"] = {"batch_size": 8, "precision": precision, **sections.get("training", {})}
    return TrialSettings.model_validate(raw_settings(**sections))


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    found: dict[str, list[Step]] = defaultdict(list)
    for case in cases():
        found[case.settings.objective.family].append(second_step(case.settings))
    print("| family | cases | mixes | waits in a step |\n|---|---|---|---|")
    for family, steps in found.items():
        print(f"| {family} | {len(steps)} | {sum(s.mixes for s in steps)} | {sum(s.waits for s in steps)} |")
    print("\n| step | launches in fp32 | in bf16 |\n|---|---|---|")
    for name in STEPS:
        fp32, bf16 = (second_step(architecture(name, precision)).launches for precision in ("fp32", "bf16"))
        print(f"| {name} | {fp32} | {bf16 if bf16 != fp32 else 'always fp32'} |")


if __name__ == "__main__":
    main()
