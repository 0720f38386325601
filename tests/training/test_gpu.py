"""The same on a GPU, where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch

from orchestrator.data import ImageSet
from orchestrator.data.batches import to_device
from orchestrator.store.local import LocalStore
from orchestrator.training.gan import Gan
from orchestrator.training.progress import Progress
from orchestrator.training.session import Session
from tests.training.families import finish, make, trial

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
KINDS = ["saturating", "non_saturating", "least_squares"]
every_family = pytest.mark.parametrize(
    "kind", ["autoencoder", "wae_moments", "wae_mmd", "wae_adversarial", "glo", "likelihood"]
)


@pytest.fixture
def on_gpu(images: Tensor) -> Tensor:
    return to_device(ImageSet(images.numpy()), "cuda")


@pytest.fixture
def make_gan(make_trial, on_gpu: Tensor):
    def make(*args: Any, **training: Any) -> Gan:
        trial = make_trial(*args, **training)
        return Gan(trial.model, trial.objective, trial.training, on_gpu, trial.data.shape)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_gan_stays_on_the_gpu(make_gan, kind: str) -> None:
    gan = make_gan(kind, d_steps=2, g_steps=2)
    before = [parameter.clone() for parameter in gan.g_parameters]
    signals = gan.step()
    assert signals.shape == (len(gan.metric_names),)
    assert signals.isfinite().all()
    tensors = [signals, gan.fixed_latents, *gan.g_parameters, *gan.d_parameters, gan.sample(gan.fixed_latents)]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    assert not any(torch.equal(old, new) for old, new in zip(before, gan.g_parameters, strict=True))


def test_the_first_weights_and_the_fixed_latents_are_those_of_a_cpu(make_gan, make_trial, images: Tensor) -> None:
    trial = make_trial()
    cpu, gpu = Gan(trial.model, trial.objective, trial.training, images, trial.data.shape), make_gan()
    assert torch.equal(cpu.fixed_latents, gpu.fixed_latents.cpu())
    for ours, theirs in zip(cpu.g_parameters + cpu.d_parameters, gpu.g_parameters + gpu.d_parameters, strict=True):
        assert torch.equal(ours, theirs.cpu())


@pytest.mark.parametrize("kind", KINDS)
def test_cpu_and_gpu_compute_the_same_step(make_gan, make_trial, images: Tensor, kind: str) -> None:
    """From the same batches and latents, which each device draws in its own way."""
    trial = make_trial(kind, precision="fp32")
    cpu = Gan(trial.model, trial.objective, trial.training, images, trial.data.shape)
    gpu = make_gan(kind, precision="fp32")
    (batch, numbers), latents = (
        cpu.batches.next_with_indices(),
        torch.randn(4, 3, generator=torch.Generator().manual_seed(1)),
    )
    signals = []
    for gan in (cpu, gpu):
        gan.batches.chosen = lambda _, gan=gan: (batch.to(gan.device), numbers)  # type: ignore[method-assign]
        gan._draw = lambda gan=gan: (latents.to(gan.device),)  # type: ignore[method-assign]
        signals.append(gan.step().cpu())
    torch.testing.assert_close(*signals, rtol=1e-3, atol=1e-6)


def test_the_host_never_waits_between_two_logged_steps(make_gan) -> None:
    progress = Progress(make_gan(d_steps=2, g_steps=2, epochs=4, log_every=1000), 5)
    progress.advance(5)  # libraries make themselves ready
    torch.cuda.set_sync_debug_mode("error")
    try:
        progress.advance(5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (progress.step, progress.rows) == (10, [])


def test_a_resumed_trial_is_close_to_an_uninterrupted_one(make_trial, on_gpu: Tensor, tmp_path: Path) -> None:
    """Close, not equal: some of cuDNN's sums have no fixed order."""

    def make(folder: str) -> Session:
        trial = make_trial(epochs=3, log_every=4, d_steps=2)
        return Session("id", trial, on_gpu, LocalStore(tmp_path / folder))

    whole, resumed = make("whole"), make("resumed")
    for _ in range(7):
        resumed.advance(0.0)
    resumed.save()
    resumed = make("resumed")
    assert (resumed.progress.step, resumed.resumes) == (7, 1)
    for session in (whole, resumed):
        while not session.progress.done:
            session.advance(1e6)
    for ours, theirs in zip(whole.learner.g_parameters, resumed.learner.g_parameters, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-3)
    assert torch.equal(whole.learner.latents.get_state(), resumed.learner.latents.get_state())
    assert torch.equal(whole.learner.batches.next(), resumed.learner.batches.next())
    tables = [pd.read_parquet(tmp_path / folder / "metrics") for folder in ("whole", "resumed")]
    assert [table["step"].tolist() for table in tables] == [[4, 8, 12, 15]] * 2
    assert whole.summary()["device"] == "cuda"


def test_bf16_is_what_auto_takes_and_keeps_the_rest_in_single_precision(make_gan) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("needs a CUDA device that computes in bf16")
    gan, single = make_gan(width=8, d_steps=2), make_gan(width=8, d_steps=2, precision="fp32")
    assert (gan.precision, single.precision) == ("bf16", "fp32")
    made: list[torch.dtype] = []
    gan.generator[0].register_forward_hook(lambda _module, _inputs, out: made.append(out.dtype))
    signals = gan.step()
    assert set(made) == {torch.bfloat16}
    assert signals.dtype == torch.float32
    assert {parameter.dtype for parameter in gan.g_parameters + gan.d_parameters} == {torch.float32}
    assert not torch.equal(signals, single.step())


@pytest.mark.parametrize("batch_norm", ["synchronized", "none"])
def test_accumulated_gradients_train_as_well(make_gan, batch_norm: str) -> None:
    gan = make_gan(accumulate=2, batch_norm=batch_norm, g_steps=2)
    assert all(gan.step().isfinite().all() for _ in range(3))


@every_family
@pytest.mark.parametrize("accumulate", [1, 2])
def test_other_families_stay_on_the_gpu_and_wait_as_little(on_gpu: Tensor, kind: str, accumulate: int) -> None:
    learner = make(trial(kind, epochs=2, log_every=1000, accumulate=accumulate, g_ema=0.5), on_gpu)
    progress = Progress(learner, 5)
    before = [parameter.clone() for parameter in learner.g_parameters]
    progress.advance(2)  # libraries make themselves ready
    torch.cuda.set_sync_debug_mode("error")
    try:
        progress.advance(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    learner.sync_buffers()
    signals, codes = learner.step(), learner.codes(torch.arange(3, device="cuda"))
    assert signals.isfinite().all()
    tensors = [signals, codes, *learner.g_parameters, learner.sample(learner.fixed_latents)]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    assert learner.table is None or learner.table.is_cuda
    assert not all(torch.equal(old, new) for old, new in zip(before, learner.g_parameters, strict=True))


@every_family
def test_other_families_begin_with_the_weights_of_a_cpu(images: Tensor, on_gpu: Tensor, kind: str) -> None:
    """But for actnorms, which are fitted to a batch that each device draws in its own way."""
    cpu, gpu = (make(trial(kind), of).networks.state_dict() for of in (images, on_gpu))
    for name, value in cpu.items():
        assert "norm" in name or torch.equal(value, gpu[name].cpu()), name


@every_family
def test_a_resumed_trial_of_another_family_is_close_to_an_uninterrupted_one(
    on_gpu: Tensor, tmp_path: Path, kind: str
) -> None:
    def start(folder: str) -> Session:
        return Session("id", trial(kind, epochs=2, log_every=4), on_gpu, LocalStore(tmp_path / folder))

    whole = finish(start("whole"))
    resumed = finish(start("resumed"), (3, 7), lambda: start("resumed"))
    assert resumed.resumes == 2
    assert torch.equal(whole.learner.latents.get_state(), resumed.learner.latents.get_state())
    assert torch.equal(whole.learner.noise.get_state(), resumed.learner.noise.get_state())
    assert torch.equal(whole.learner.batches.next(), resumed.learner.batches.next())
    for ours, theirs in zip(whole.learner.g_parameters, resumed.learner.g_parameters, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-3)
