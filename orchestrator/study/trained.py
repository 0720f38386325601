"""A trial named by the beginning of its id, and its trained networks: for samples, exports and notebooks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import CheckpointError, NotFoundError, SettingsError
from orchestrator.spec.columns import declared
from orchestrator.spec.messages import show
from orchestrator.spec.recorded import settings_of
from orchestrator.state.files import read_job
from orchestrator.state.stored import stored_job
from orchestrator.store.bundles import trial_of
from orchestrator.store.tables import parquet_keys, read_files
from orchestrator.text import listing, more
from orchestrator.training.checkpoint import FOLDER, load_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Literal

    import torch
    from torch import Tensor, nn

    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store
    from orchestrator.training.settings import TrialSettings

_ID = re.compile(r"[0-9a-f]{16}")
_NAMED = 5
"""Ids that an error names."""


@dataclass(frozen=True)
class Trained:
    """The networks of a trained trial, on one device, in eval mode and frozen.

    ``networks`` has the ``generator``, and the ``encoder`` where the trial trained one; their weights are the averaged
    ones where the trial has such.
    """

    trial_id: str
    settings: TrialSettings
    networks: nn.ModuleDict
    device: torch.device

    @property
    def generator(self) -> nn.Module:
        """Latent vectors (n, latent_dim), N(0, I) in training, to images (n, c, h, w) in [-1, 1]."""
        return self.networks["generator"]

    @property
    def encoder(self) -> Callable[[Tensor], Tensor] | None:
        """Images (n, c, h, w) in [-1, 1] to latent vectors (n, latent_dim); None where there is no such map."""
        from orchestrator.training.networks import encoder_of

        return encoder_of(self.networks)


def load_trained(
    store: Store,
    trial: str,
    device: str | torch.device = "cpu",
    which: Literal["last", "best"] = "last",
    job: Job | None = None,
) -> Trained:
    """The networks of the trial below ``store`` whose id begins with ``trial``; ``job`` as in ``find_trial``.

    ``which`` is the state of the trial's end, or the generator of the lowest FID, kept where ``training.measure_every``
    is set. Only tensors, numbers and strings are read of a checkpoint, never code. Raises CheckpointError where there
    is no such checkpoint or it does not fit the settings, NotFoundError, SettingsError, StorageError.
    """
    place = device_of(device)
    trial_id, settings = find_trial(store, trial, job)
    networks = load_networks(store, trial_id, settings, which)
    return Trained(trial_id, settings, networks.to(place), place)


def find_trial(store: Store, named: str, job: Job | None = None) -> tuple[str, TrialSettings]:
    """The id that begins with ``named``, of a trial of the job or of one that storage has, and its settings.

    The job is ``job``, or else the one last submitted. Raises NotFoundError where no id begins so, SettingsError where
    several do, CheckpointError where the settings are not valid today, StorageError.
    """
    planned = _planned(store, job)
    trial_id = one_of(_known(store, planned), named, store)
    settings = planned.get(trial_id) or _settings_in_row(store, trial_id)
    if settings is None:
        raise CheckpointError(f"{store.uri}: the settings of trial {trial_id} are not known to this version of orch")
    return trial_id, settings


def find_trial_id(store: Store, named: str, job: Job | None = None) -> str:
    """The id alone, also of a trial whose settings are not known today; raises as ``find_trial`` else."""
    return one_of(_known(store, _planned(store, job)), named, store)


def one_of(ids: Iterable[str], named: str, store: Store) -> str:
    """The id that ``named`` is, or that alone begins with it. Raises NotFoundError, SettingsError."""
    ids = sorted(ids)
    found = [one for one in ids if one.startswith(named)] if named else ids
    if len(found) == 1 or named in found:
        return named if named in found else found[0]
    if not found:
        there = f"trials there: {_some(ids)}" if ids else "there are no trials yet; 'orch submit' makes them"
        raise NotFoundError(f"{store.uri}: got {show(named)}, with which no trial's id begins; {there}")
    problem = f"got {show(named)}, with which {len(found)} ids begin ({_some(found)}), expected more of one"
    raise SettingsError("TRIAL", "", problem)


def known_ids(store: Store, job: Job | None = None) -> set[str]:
    """The ids of the job's trials, and of those that have a row or a checkpoint below ``store``; ``job`` as above."""
    return _known(store, _planned(store, job))


def _known(store: Store, planned: Iterable[str]) -> set[str]:
    rows = {trial_of(key) for key in parquet_keys(store, "trials")}
    states = {key.removeprefix(f"{FOLDER}/").partition(".")[0] for key in store.keys(FOLDER)}
    return {*planned, *(one for one in rows | states if _ID.fullmatch(one))}


def device_of(name: str | torch.device) -> torch.device:
    """The device of this name. Raises SettingsError where this machine has none."""
    import torch

    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    gpus = torch.cuda.device_count()
    if device is not None and (device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < gpus)):
        return device
    allowed = listing(["cpu", *(["cuda"] if gpus else []), *(f"cuda:{one}" for one in range(gpus))], "or")
    raise SettingsError("device", "", f"got {show(str(name))}, expected {allowed}")


def _planned(store: Store, job: Job | None) -> Mapping[str, TrialSettings]:
    """The settings of the job's trials, by the ids that they have in storage; none where no job can be read."""
    try:
        job = job or read_job(store)
    except (NotFoundError, SettingsError):  # rows tell their settings all the same
        return {}
    return {trial.id: trial.settings for trial in stored_job(job, store).job.trials}


def _settings_in_row(store: Store, trial_id: str) -> TrialSettings | None:
    """The settings in a trial's row; None without one, or where they are not valid today."""
    key = f"trials/{trial_id}.parquet"
    if not store.exists(key):
        return None
    rows = read_files(store, [key], schema=declared("trials")).whole(store).to_pylist()
    return settings_of(rows[-1]) if rows else None


def _some(ids: list[str]) -> str:
    return f"{', '.join(ids[:_NAMED])}{more(len(ids) - _NAMED)}"
