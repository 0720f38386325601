"""A trial: its settings, its measurements, its trained networks and what they draw."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from orchestrator import text
from orchestrator.api.frames import declared
from orchestrator.errors import SettingsError
from orchestrator.spec.messages import show
from orchestrator.store.columns import METRICS
from orchestrator.study import COLUMNS
from orchestrator.study.trained import find_trial, load_trained

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from PIL.Image import Image
    from torch import Tensor, nn

    from orchestrator.store.location import Store
    from orchestrator.study import Study as Results
    from orchestrator.study.trained import Trained
    from orchestrator.training.settings import TrialSettings

    Checkpoint = Literal["last", "best"]

_FACTS = ("status", "fid", "best_fid", "bits_per_dimension", "step", "epoch")
"""Columns of a trial's row that a notebook shows beside what differs between trials."""


@dataclass(frozen=True, repr=False)
class Trial:
    """One trial of a study; ``id`` is the hash of its settings.

    Images are drawn as by ``orch sample``: by the averaged weights where the trial has such, with the running
    statistics of batch norm, from latent vectors that depend on the seed alone. A ``device`` is ``"cpu"``, ``"cuda"``,
    ``"cuda:1"`` or a torch device; a ``checkpoint`` is ``"last"``, or ``"best"`` for the generator of the lowest FID,
    kept where ``training.measure_every`` is set. What has no such checkpoint raises CheckpointError.
    """

    id: str
    _results: Results
    _store: Store

    @property
    def row(self) -> dict[str, Any]:
        """The trial's row of ``Study.trials``; empty while it has not ended."""
        rows = self._results.trials[self._results.trials["trial_id"] == self.id].to_dict("records")
        return {str(name): value for name, value in rows[0].items()} if rows else {}

    @cached_property
    def settings(self) -> TrialSettings:
        """Its sections ``data``, ``model``, ``objective`` and ``training``, frozen.

        Raises CheckpointError where the settings are of a version that this one cannot read.
        """
        return find_trial(self._store, self.id, self._results.job)[1]

    @property
    def metrics(self) -> pd.DataFrame:
        """A row a logged step."""
        rows = self._results.metrics
        return declared(rows[rows["trial_id"] == self.id].reset_index(drop=True), [*METRICS, *COLUMNS.values()])

    def load(self, device: str | torch.device = "cpu", checkpoint: Checkpoint = "last") -> Trained:
        """The trained networks, in eval mode and frozen: ``generator``, and ``encoder`` where the trial has one."""
        if checkpoint not in ("last", "best"):
            raise SettingsError("checkpoint", "", f"got {show(checkpoint)}, expected last or best")
        return load_trained(self._store, self.id, device, checkpoint, self._results.job)

    def generator(self, device: str | torch.device = "cpu", checkpoint: Checkpoint = "last") -> nn.Module:
        """Latent vectors (n, latent_dim), N(0, I), to images (n, c, h, w) in [-1, 1], in eval mode, frozen."""
        return self.load(device, checkpoint).generator

    def latents(self, n: int, seed: int = 0, truncation: float | None = None) -> Tensor:
        """The latent vectors (n, latent_dim) of ``sample``, on the CPU.

        They come from N(0, I), or from there truncated to [-truncation, truncation]. Those of a lesser n are the first
        of those of a greater one. Raises SettingsError.
        """
        import torch

        from orchestrator.study.samples import latents_of

        return torch.cat(list(latents_of(self.settings.latent_dim, n, seed, truncation)))

    def sample(
        self,
        n: int,
        seed: int = 0,
        truncation: float | None = None,
        device: str | torch.device = "cpu",
        checkpoint: Checkpoint = "last",
    ) -> Tensor:
        """Images (n, c, h, w) in [-1, 1], on the CPU. Raises SettingsError, EvaluationError, CheckpointError."""
        import torch

        from orchestrator.study.samples import draw

        return torch.cat([part.cpu() for part in draw(self._networks(device, checkpoint), n, seed, truncation)])

    def sheet(self, n: int = 64, **options: Any) -> Image:
        """The images of ``sample`` on one sheet, which a notebook shows; n is at most 1024."""
        from PIL import Image

        from orchestrator.study.samples import check_sheet, in_rows, sheet_of

        check_sheet(n)
        return Image.open(io.BytesIO(sheet_of(in_rows(self.sample(n, **options)))))

    def _networks(self, device: str | torch.device, checkpoint: Checkpoint) -> Trained:
        """As ``load``, kept from one call to the next."""
        name = (str(device), checkpoint)
        if name not in self._kept:
            self._kept.clear()
            self._kept[name] = self.load(device, checkpoint)
        return self._kept[name]

    @cached_property
    def _kept(self) -> dict[tuple[str, str], Trained]:
        return {}

    def __repr__(self) -> str:
        return f"<Trial {self.id}: {text.excerpt(self._described()) or 'as the others'}>"

    def _described(self) -> str:
        row = self.row
        return self._results.describe({column: row[column] for column in self._results.varying if column in row})

    def _repr_html_(self) -> str:
        """What tells the trial from others, and its main measures, for a notebook."""
        row = self.row
        facts = {
            COLUMNS[name].heading or name: text.number(row.get(name))
            for name in _FACTS
            if row.get(name) == row.get(name)
        }
        lines = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
        return f"<p><b>{escape(self.id)}</b> {escape(self._described())}</p><table>{lines}</table>"
