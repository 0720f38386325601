"""Which numbers are of which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from orchestrator.data.batches import to_device
from orchestrator.data.images import ImageSet
from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.errors import PlacementError
from orchestrator.hardware import Processor
from orchestrator.metrics.classifier import train_classifier
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.store.local import LocalStore
from orchestrator.training import precision
from orchestrator.training.checkpoint import load_networks
from orchestrator.training.precision import auto_on_gpu, precision_on
from orchestrator.training.session import Session
from tests.jobs import trial_settings
from tests.training.families import make, trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.training.settings import TrialSettings

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


NARROW, WIDE = {"width": 16}, {"width": 256}


@pytest.fixture(autouse=True)
def in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors that lack bf16 compute the same numbers, only more slowly."""
    monkeypatch.setattr(precision, "processor", lambda: Processor("pretended", computes_bf16=True))


@pytest.mark.parametrize(
    ("asked", "model", "device", "native", "expected"),
    [
        ("auto", WIDE, CPU, True, "fp32"),
        ("auto", WIDE, CUDA, True, "bf16"),
        ("auto", NARROW, CUDA, True, "fp32"),
        ("auto", WIDE, CUDA, False, "fp32"),
        ("fp32", WIDE, CUDA, True, "fp32"),
        ("bf16", NARROW, CPU, False, "bf16"),
        ("bf16", NARROW, CUDA, False, "bf16"),
    ],
)
def test_auto_takes_bf16_where_a_gpu_computes_in_it_and_a_step_computes_much(
    monkeypatch: pytest.MonkeyPatch, asked: Any, model: Any, device: torch.device, native: bool, expected: str
) -> None:
    def supported(*, including_emulation: bool) -> bool:
        assert not including_emulation
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    settings = trial_settings(model=model, training={"precision": asked, "batch_size": 64})
    assert precision_on(device, *parts(settings)) == expected


def parts(settings: TrialSettings) -> Any:
    return settings.model, settings.objective, settings.training, settings.data.shape


def test_auto_is_told_from_the_settings_alone_and_by_what_computes_more() -> None:
    """Wider networks and larger batches go over to bf16 once, and do not come back."""
    for sizes in ([({"width": 2**n}, 64) for n in range(3, 11)], [({"width": 64}, 2**n) for n in range(4, 13)]):
        found = [
            auto_on_gpu(*parts(trial_settings(model=model, training={"batch_size": batch}))) for model, batch in sizes
        ]
        assert found == sorted(found, reverse=True)
        assert set(found) == {"fp32", "bf16"}
    flow = trial_settings(model={"kind": "glow", "width": 4096}, objective={"kind": "likelihood"})
    assert auto_on_gpu(*parts(flow)) == "fp32"


def test_bf16_is_refused_where_the_processor_lacks_it(make_gan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "processor", lambda: Processor("AMD EPYC 7763", computes_bf16=False))
    with pytest.raises(PlacementError) as refused:
        make_gan(precision="bf16")
    assert str(refused.value) == (
        "training.precision: got bf16, which the processor (AMD EPYC 7763) has no instructions for (none of "
        "avx512_bf16, amx_bf16, bf16 among its flags); expected auto or fp32, or a GPU"
    )
    for asked in ("auto", "fp32"):
        assert make_gan(precision=asked).precision == "fp32"


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
    for operation, kept in zip(FLOAT32, before, strict=True):
        operation.fp32_precision = kept


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


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("objective", "model"),
    [
        ("non_saturating", {"kind": "dcgan", "width": 8}),
        ("hinge", {"kind": "residual", "width": 4}),
        ("began", {"kind": "autoencoding", "width": 4}),
        ("wae_mmd", {"kind": "encoder_decoder", "width": 8}),
    ],
    ids=str,
)
def test_bf16_loses_no_more_than_its_eight_bits(objective: str, model: dict[str, Any], seed: int) -> None:
    """Of the generator's numbers 2 %, of gradients 15 % in the mean square, and their direction hardly at all.

    bf16 rounds by 2^-9 = 0.2 % at most. Images pass up to ten layers, each of which rounds inputs, weights and outputs;
    the generator's gradient passes two networks twice, and mostly cancels over the batch.
    """
    learners = []
    for asked in ("fp32", "bf16"):
        training = {"batch_size": 64, "precision": asked, "seed": seed}
        settings = trial_settings(model={**model, "latent_dim": 16}, objective={"kind": objective}, training=training)
        learners.append(make(settings, to_device(settings.data.load(), "cpu")))
    single, half = learners
    latents = torch.randn(64, 16, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        images = [learner._forward(learner.generator, latents).float() for learner in learners]
    assert 1e-4 < _error(*images) < 0.02
    for learner in learners:
        learner.step()
    for name in ("g_parameters", "d_parameters"):
        if getattr(single, name):
            gradients = [torch.cat([p.grad.flatten() for p in getattr(one, name)]) for one in (single, half)]
            assert 1e-4 < _error(*gradients) < 0.15
            assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def _error(exact: Tensor, rounded: Tensor) -> float:
    return float((exact - rounded).norm() / exact.norm())


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
