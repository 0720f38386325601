"""What a checkpoint holds and how it is read back: tensors, numbers and strings only, never code."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Literal

import torch

from orchestrator.errors import CheckpointError, NotFoundError

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.store.location import Store
    from orchestrator.training.settings import TrialSettings

FOLDER = "checkpoints"
_DIGEST_BYTES = hashlib.sha256().digest_size


def checkpoint_key(trial_id: str) -> str:
    """Where a trial's one checkpoint is kept; each new one takes the place of the last."""
    return f"{FOLDER}/{trial_id}.pt"


def save_checkpoint(store: Store, trial_id: str, state: dict[str, Any]) -> None:
    """Write the state whole, in place of the one before."""
    buffer = io.BytesIO()
    torch.save({"trial_id": trial_id, **state}, buffer)
    # torch.load tells few of the bits that a disk may lose, and passes over what follows its own data.
    buffer.write(hashlib.sha256(buffer.getbuffer()).digest())
    store.write(checkpoint_key(trial_id), buffer.getvalue())


def load_checkpoint(store: Store, trial_id: str) -> dict[str, Any] | None:
    """The trial's last state with its tensors on the CPU, or None where it has none.

    Raises CheckpointError where the file is damaged, not ours, or of another trial.
    """
    key = checkpoint_key(trial_id)
    try:
        data = store.read(key)
    except NotFoundError:
        return None
    data, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise checkpoint_error(store, trial_id, "damaged checkpoint")
    try:
        # To the CPU, whence each part is copied to where it belongs: a GPU need not hold the state twice.
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what others wrote makes torch raise nearly anything
        problem = f"not a checkpoint of this program ({type(error).__name__})"
        raise checkpoint_error(store, trial_id, problem) from error
    if not isinstance(state, dict) or state.get("trial_id") != trial_id:
        raise checkpoint_error(store, trial_id, "checkpoint of another trial")
    return state


def checkpoint_error(store: Store, trial_id: str, problem: str) -> CheckpointError:
    """The error that names the trial's checkpoint, what is wrong with it, and the remedy."""
    place = f"{store.uri}/{checkpoint_key(trial_id)}"
    return CheckpointError(f"{place}: {problem}; delete it to train this trial from the start")


def load_generator(
    store: Store, trial_id: str, settings: TrialSettings, which: Literal["last", "best"] = "last"
) -> nn.Module:
    """The trial's generator, with its averaged weights where there are any: on the CPU, in eval mode, frozen.

    Raises CheckpointError where there is no such checkpoint, or it is not of these settings.
    """
    place = f"{store.uri}/{checkpoint_key(trial_id)}"
    if which == "best":
        raise CheckpointError(f"{place}: no best checkpoint was kept; evaluate with checkpoint: last")
    state = load_checkpoint(store, trial_id)
    if state is None:
        raise CheckpointError(f"{place}: no such checkpoint, so that its trial cannot be evaluated; was it deleted?")
    generator = settings.model.build_generator(settings.data.shape)
    try:
        generator.load_state_dict(_generator_weights(state["gan"], averaged=settings.training.g_ema > 0))
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        problem = f"does not fit these settings ({type(error).__name__})"
        raise checkpoint_error(store, trial_id, problem) from error
    return generator.eval().requires_grad_(False)


def _generator_weights(gan: dict[str, Any], *, averaged: bool) -> dict[str, Any]:
    if not averaged:
        weights: dict[str, Any] = gan["generator"]
        return weights
    # AveragedModel keeps the network as its ``module``, and beside it how often it was updated.
    prefix = "module."
    return {name.removeprefix(prefix): value for name, value in gan["averaged"].items() if name.startswith(prefix)}
