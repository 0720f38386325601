"""Latent vectors of training images in storage, in shards: a table of millions is written and read part by part.

The shards of a step are written before the checkpoint of that step, and those of the step before are dropped after it:
whenever a trial dies, the checkpoint that it goes on from has its shards.
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
    """Where a shard of the vectors of a trial at a step is kept."""
    return f"{_folder(trial_id)}/{step:09d}-{shard:05d}.pt"


def _folder(trial_id: str) -> str:
    return f"{FOLDER}/{trial_id}.latents"


def save_latents(store: Store, trial_id: str, step: int, table: Tensor) -> None:
    """Write all shards of a table (n, latent_dim)."""
    for shard, rows in enumerate(torch.split(table, SHARD_ROWS)):
        # cloned: what is packed would be the whole table's storage
        content = {"trial_id": trial_id, "step": step, "latents": rows.detach().cpu().clone()}
        store.write(latents_key(trial_id, step, shard), pack(content))


def load_latents(store: Store, trial_id: str, step: int, count: int, latent_dim: int) -> Tensor:
    """The table (count, latent_dim) of a trial at a step, on the CPU.

    Raises CheckpointError naming the shard that is missing, damaged, or not of so many vectors of so many numbers.
    """
    table = torch.empty(count, latent_dim)
    for shard, rows in enumerate(torch.split(table, SHARD_ROWS)):
        rows.copy_(_read(store, latents_key(trial_id, step, shard), trial_id, tuple(rows.shape)))
    return table


def drop_latents(store: Store, trial_id: str, step: int) -> None:
    """Remove the shards of all other steps, and no file that is none."""
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
        found, wanted = (f"{count} vectors of {numbers} numbers" for count, numbers in (latents.shape, expected))
        raise CheckpointError(f"{key}: holds {found}, expected {wanted}")
    return latents
