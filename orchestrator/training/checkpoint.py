"""What a checkpoint holds and how it is read back: tensors, numbers and strings only, never code."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.errors import CheckpointError, NotFoundError

if TYPE_CHECKING:
    from orchestrator.store.location import Store

FOLDER = "checkpoints"


def checkpoint_key(trial_id: str) -> str:
    """Where a trial's one checkpoint is kept; each new one takes the place of the last."""
    return f"{FOLDER}/{trial_id}.pt"


def save_checkpoint(store: Store, trial_id: str, state: dict[str, Any]) -> None:
    """Write the state whole, in place of the one before."""
    buffer = io.BytesIO()
    torch.save({"trial_id": trial_id, **state}, buffer)
    store.write(checkpoint_key(trial_id), buffer.getvalue())


def load_checkpoint(store: Store, trial_id: str, device: torch.device) -> dict[str, Any] | None:
    """The trial's last state with its tensors on ``device``, or None where it has none.

    Raises CheckpointError where the file is damaged or belongs to another trial.
    """
    key = checkpoint_key(trial_id)
    remedy = "delete it to train this trial from the start"
    try:
        data = store.read(key)
    except NotFoundError:
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{store.uri}/{key}: damaged checkpoint ({type(error).__name__}); {remedy}") from error
    if not isinstance(state, dict) or state.get("trial_id") != trial_id:
        raise CheckpointError(f"{store.uri}/{key}: checkpoint of another trial; {remedy}")
    return state
