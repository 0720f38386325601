"""Which numbers are of which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from orchestrator.data.images import ImageSet
from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.metrics.classifier import train_classifier
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_networks
from orchestrator.training.session import Session
from orchestrator.training.settings import TrainingSettings
from tests.training.families import make, trial

if TYPE_CHECKING:
    from collections.abc import Iterator

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "device", "native", "expected"),
    [
        ("auto", CPU, True, "fp32"),
        ("auto", CUDA, True, "bf16"),
        ("auto", CUDA, False, "fp32"),
        ("fp32", CUDA, True, "fp32"),
        ("bf16", CPU, False, "bf16"),
        ("bf16", CUDA, False, "bf16"),
    ],
)
def test_auto_takes_bf16_where_the_device_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, precision: Any, device: torch.device, native: bool, expected: str
) -> None:
    def supported(*, including_emulation: bool) -> bool:
        assert not including_emulation
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert TrainingSettings(precision=precision).precision_on(device) == expected


@pytest.mark.parametrize("accumulate", [1, 2])
def test_networks_compute_in_bf16_and_all_else_in_single(make_gan, monkeypatch, accumulate: int) -> None:
    gan = make_gan(precision="bf16", accumulate=accumulate)
    made: dict[str, set[torch.dtype]] = {"convolution": set(), "norm": set(), "losses": set()}
    for network in (gan.generator, gan.discriminator):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
                kind = "norm" if isinstance(module, nn.BatchNorm2d) else "convolution"
                module.register_forward_hook(lambda _m, _i, out, kind=kind: made[kind].add(out.dtype))

    def note(loss: str) -> None:
        original = getattr(NonSaturating, loss)

        def noted(self: NonSaturating, *said: Any) -> Tensor:
            value: Tensor = original(self, *said)
            scores = [judgement.scores for judgement in said if isinstance(judgement, DiscriminatorOutput)]
            made["losses"] |= {tensor.dtype for tensor in (*scores, value)}
            return value

        monkeypatch.setattr(NonSaturating, loss, noted)

    note("discriminator")
    note("generator")
    assert gan.step().dtype == torch.float32
    assert made == {"convolution": {torch.bfloat16}, "norm": {torch.bfloat16}, "losses": {torch.float32}}
    kept = [*gan.generator.state_dict().values(), *gan.discriminator.state_dict().values()]
    kept += [p.grad for p in gan.g_parameters + gan.d_parameters]
    for optimizer in (gan.g_optimizer, gan.d_optimizer):
        kept += [value for state in optimizer.state.values() for value in state.values()]
    assert {tensor.dtype for tensor in kept} == {torch.float32, torch.int64}


FLOAT32 = [
    torch.backends.cudnn.conv,
    torch.backends.cuda.matmul,
    torch.backends.mkldnn.conv,
    torch.backends.mkldnn.matmul,
]


@pytest.fixture
def rounded() -> Iterator[None]:
    """Convolutions and products of float32 numbers that may be rounded: GPUs to TF32, processors to bf16."""
    before = [operation.fp32_precision for operation in FLOAT32]
    for operation, rounding in zip(FLOAT32, ("tf32", "tf32", "bf16", "bf16"), strict=True):
        operation.fp32_precision = rounding
    yield
    for operation, precision in zip(FLOAT32, before, strict=True):
        operation.fp32_precision = precision


WAYS = ["non_saturating", "wae_mmd", "glo", "likelihood"]


@pytest.mark.parametrize("entry", [*WAYS, "networks that are evaluated", "classifier"])
def test_whatever_computes_has_float32_computed_exactly(rounded: None, images: Tensor, tmp_path, entry: str) -> None:
    assert not any(operation.fp32_precision == "ieee" for operation in FLOAT32)
    if entry == "classifier":
        labels = torch.arange(len(images)) % 2
        train_classifier(ImageSet(images.numpy(), labels.numpy()))
    elif entry in WAYS:
        make(trial(entry, model={"kind": "dcgan"} if entry == "non_saturating" else None), images)
    else:
        settings, store = trial("glo", epochs=1), LocalStore(tmp_path)
        Session("id", settings, images, store).save()
        for operation in FLOAT32:
            operation.fp32_precision = "none"
        load_networks(store, "id", settings)
    assert [operation.fp32_precision for operation in FLOAT32] == ["ieee"] * 4


def test_single_precision_is_what_it_was(make_gan, differences) -> None:
    one, other = make_gan(), make_gan(precision="fp32")
    assert one.precision == "fp32"
    assert torch.equal(one.step(), other.step())
    assert differences(one.state_dict(), other.state_dict()) == []


def test_bf16_is_near_single_precision_but_not_it(make_gan) -> None:
    single, half = make_gan(width=8, batch_size=16), make_gan(width=8, batch_size=16, precision="bf16")
    one, other = single.step(), half.step()
    assert not torch.equal(one, other)
    torch.testing.assert_close(one, other, rtol=0.1, atol=0.02)


def test_samples_are_of_single_precision(make_gan) -> None:
    gan = make_gan(precision="bf16")
    gan.step()
    assert gan.sample(gan.fixed_latents).dtype == torch.float32


def test_a_trial_tells_its_precision_and_goes_on_in_another(make_trial, images: Tensor, tmp_path) -> None:
    """Its state is of single precision whatever the passes were: a cluster may mix devices under `auto`."""
    store = LocalStore(tmp_path)
    session = Session("id", make_trial(epochs=2, precision="bf16"), images, store)
    session.advance(0.0)
    session.save()
    assert session.summary()["precision"] == "bf16"
    resumed = Session("id", make_trial(epochs=2, precision="fp32"), images, store)
    assert (resumed.progress.step, resumed.summary()["precision"]) == (1, "fp32")
    resumed.advance(0.0)
