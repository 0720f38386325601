"""Storage of the latent vectors of training images in shards: a table of millions is written and read part by part.

The shards of a step are written before the checkpoint of that step, and the shards of earlier steps are dropped after
it. Whenever a trial dies, the checkpoint that it resumes from therefore has its shards.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.errors import CheckpointError, NotFoundError
from orchestrator.store.tensors import DamagedError, pack, unpack
from orchestrator.training.checkpoint import FOLDER

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.store.location import Store

SHARD_ROWS = 65_536
"""Vectors in a shard."""
_SHARD = re.compile(r"(\d{9,})-\d{5,}\.pt")


def latents_key(trial_id: str, step: int, shard: int) -> str:
    """The key of a shard of a trial's latent vectors at a step."""
    return f"{_folder(trial_id)}/{step:09d}-{shard:05d}.pt"


def _folder(trial_id: str) -> str:
    return f"{FOLDER}/{trial_id}.latents"


def save_latents(store: Store, trial_id: str, step: int, table: Tensor) -> None:
    """Write all shards of a table (n, latent_dim)."""
    for shard, rows in enumerate(torch.split(table, SHARD_ROWS)):
        # Cloned, because a view would be packed with the whole table's storage.
        content = {"trial_id": trial_id, "step": step, "latents": rows.detach().cpu().clone()}
        store.write(latents_key(trial_id, step, shard), pack(content))


def load_latents(store: Store, trial_id: str, step: int, count: int, latent_dim: int) -> Tensor:
    """The table (count, latent_dim) of a trial at a step, on the CPU.

    Raises CheckpointError naming the shard that is missing, damaged, or of another shape.
    """
    table = torch.empty(count, latent_dim)
    for shard, rows in enumerate(torch.split(table, SHARD_ROWS)):
        rows.copy_(_read(store, latents_key(trial_id, step, shard), trial_id, tuple(rows.shape)))
    return table


def drop_latents(store: Store, trial_id: str, step: int) -> None:
    """Remove the shards of all other steps; other files stay."""
    for key in store.keys(_folder(trial_id)):
        name = _SHARD.fullmatch(key.rpartition("/")[2])
        if name and int(name[1]) != step:
            store.delete(key)


def _read(store: Store, key: str, trial_id: str, expected: tuple[int, ...]) -> Tensor:
    try:
        content: Any = unpack(store.read(key), "shard of latent vectors")
    except NotFoundError as error:
        raise CheckpointError(f"{key}: no such shard of latent vectors") from error
    except DamagedError as error:
        raise CheckpointError(f"{key}: {error}") from error
    latents = content.get("latents") if isinstance(content, dict) else None
    if not isinstance(latents, torch.Tensor) or latents.ndim != 2 or content.get("trial_id") != trial_id:
        raise CheckpointError(f"{key}: not the latent vectors of this trial")
    if tuple(latents.shape) != expected:
        stored, wanted = (f"{count} vectors of {numbers} numbers" for count, numbers in (latents.shape, expected))
        raise CheckpointError(f"{key}: holds {stored}, expected {wanted}")
    return latents
