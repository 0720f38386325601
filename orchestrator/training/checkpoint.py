"""Checkpoints are written and read here: they hold tensors, numbers and strings only, never code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from orchestrator.errors import CheckpointError, NotFoundError

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.store.location import Store
    from orchestrator.training.settings import TrialSettings

FOLDER = "checkpoints"


def checkpoint_key(trial_id: str) -> str:
    """The key of a trial's one checkpoint; each new one replaces the last."""
    return f"{FOLDER}/{trial_id}.pt"


def best_key(trial_id: str) -> str:
    """The key of the generator with the trial's lowest FID."""
    return f"{FOLDER}/{trial_id}.best.pt"


def save_checkpoint(store: Store, trial_id: str, state: dict[str, Any]) -> None:
    """Write the whole state and replace the one before."""
    _save(store, checkpoint_key(trial_id), trial_id, state)


def save_best(store: Store, trial_id: str, state: dict[str, Any]) -> None:
    """Write the generator with its FID and step, and replace the one before."""
    _save(store, best_key(trial_id), trial_id, state)


def drop_checkpoints(store: Store, trial_id: str) -> None:
    """Remove the trial's state and its best generator; GLO's latent vectors are removed at its next ``save``."""
    for key in (best_key(trial_id), checkpoint_key(trial_id)):
        store.delete(key)


def _save(store: Store, key: str, trial_id: str, state: dict[str, Any]) -> None:
    from orchestrator.store.tensors import pack  # torch, which those who only ask for keys do without

    store.write(key, pack({"trial_id": trial_id, **state}))


def load_checkpoint(store: Store, trial_id: str) -> dict[str, Any] | None:
    """The trial's last state with its tensors on the CPU, or None if it has none.

    Raises CheckpointError if the file is damaged, not a checkpoint, or of another trial.
    """
    return _load(store, checkpoint_key(trial_id), trial_id)


def load_best(store: Store, trial_id: str) -> dict[str, Any] | None:
    """The state that ``save_best`` wrote, on the CPU, or None if it never did. Raises CheckpointError as above."""
    return _load(store, best_key(trial_id), trial_id)


def _load(store: Store, key: str, trial_id: str) -> dict[str, Any] | None:
    from orchestrator.store.tensors import DamagedError, unpack

    try:
        data = store.read(key)
    except NotFoundError:
        return None
    try:
        state: Any = unpack(data, "checkpoint")
    except DamagedError as error:
        raise checkpoint_error(store, key, str(error)) from error
    if not isinstance(state, dict) or state.get("trial_id") != trial_id:
        raise checkpoint_error(store, key, "checkpoint of another trial")
    return state


def checkpoint_error(store: Store, key: str, problem: str) -> CheckpointError:
    """The error that names a trial's checkpoint, what is wrong with it, and the remedy."""
    return CheckpointError(f"{store.uri}/{key}: {problem}; delete it to train this trial from the start")


def load_networks(
    store: Store, trial_id: str, settings: TrialSettings, which: Literal["last", "best"] = "last"
) -> nn.ModuleDict:
    """The trained ``generator``, and the ``encoder`` if there is one; on the CPU, in eval mode, frozen.

    Their weights are the averaged ones if the trial has them. Raises CheckpointError if there is no such checkpoint or
    it does not fit these settings.
    """
    from orchestrator.training.networks import build

    best = which == "best"
    key = best_key(trial_id) if best else checkpoint_key(trial_id)
    state = load_best(store, trial_id) if best else load_checkpoint(store, trial_id)
    if state is None:
        why = "it is kept where training.measure_every is set" if best else "was it deleted?"
        raise CheckpointError(
            f"{store.uri}/{key}: no such checkpoint, so that its trial has no networks to load; {why}"
        )
    networks = build(settings.model, settings.objective, settings.data.shape)
    try:
        saved = state if best else state["learner"]
        averages = settings.training.g_ema > 0 and not best
        networks.load_state_dict(saved["averaged"]["module"] if averages else saved["networks"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise checkpoint_error(store, key, f"does not fit these settings ({type(error).__name__})") from error
    return networks.eval().requires_grad_(False)
