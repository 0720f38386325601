"""One trial from its first step or its last checkpoint to its end, with everything that it stores."""

from __future__ import annotations

import io
import math
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch.nn import functional

from orchestrator.data._tiles import tiled
from orchestrator.data.images import order_of
from orchestrator.data.ranges import to_bytes, to_unit
from orchestrator.distributed.group import ALONE
from orchestrator.errors import CheckpointError, StorageUnavailable
from orchestrator.hardware import device_columns
from orchestrator.metrics.latent_normality import measure_codes
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.tables import write_rows
from orchestrator.training.checkpoint import (
    checkpoint_error,
    checkpoint_key,
    drop_checkpoints,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from orchestrator.training.latent_table import drop_latents, load_latents, save_latents
from orchestrator.training.learners import learner_of
from orchestrator.training.progress import Progress, Row

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.distributed.group import Group
    from orchestrator.metrics.sample_metrics import SampleMetrics
    from orchestrator.store.location import Store
    from orchestrator.training.settings import TrialSettings

_SAMPLED_AT_ONCE = 250
_ACROSS = 8
_GAP = 2
"""Black pixels around each image of a grid."""
PUBLISH_S = 10.0
"""Seconds of training after which new rows are stored, whether or not there is a checkpoint."""
_PUBLISH_SHARE = 0.02
"""The most of a trial's time that this may take: a trial of 10,000 rows stores them less often."""


class Session:
    """A trial in training, on one device or as one of the processes of a group, of which only the leader writes.

    Every process of a group makes the same calls. Rows of metrics/ are part of the checkpoint, and the trial's file is
    rewritten as a whole just before each checkpoint, and in between for who watches. So whenever a trial dies, no row
    is missing or stored twice once it resumes: it logs those after its checkpoint again, into the same file.
    """

    def __init__(
        self,
        trial_id: str,
        settings: TrialSettings,
        images: Tensor,
        store: Store,
        group: Group = ALONE,
        sample_metrics: SampleMetrics | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """Start the trial, or resume it from its checkpoint.

        ``sample_metrics`` computes the metrics that ``training.measure_every`` asks for: every process has one.
        ``fingerprint`` is that of the images: a checkpoint of other images is not resumed.
        """
        assert sample_metrics is not None or not settings.training.measure_every, (
            "training.measure_every needs sample_metrics"
        )
        self.trial_id, self.settings, self.store, self.group = trial_id, settings, store, group
        self.sample_metrics, self.fingerprint = sample_metrics, fingerprint
        self.learner = learner_of(settings, images, group)
        classes = None if sample_metrics is None else sample_metrics.classes
        self.progress = Progress(self.learner, self.learner.steps_per_epoch, classes)
        self.started_at = datetime.now(UTC)
        self.resumes = 0
        self._published, self._publish_at = 0, time.monotonic() + PUBLISH_S
        state = load_checkpoint(store, trial_id)
        other_images = state is not None and self._is_of_other_images(state)
        if state is not None and not other_images:
            self._restore(state)
        self._check_same_step()
        if other_images and group.is_leader:  # every process has read it by now
            drop_checkpoints(store, trial_id)

    def _check_same_step(self) -> None:
        """Raise StorageUnavailable if processes resumed from different checkpoints: storage may lag behind."""
        steps = self.group.gather(torch.tensor([self.progress.step]), self.group.size).tolist()
        if len(set(steps)) > 1:
            raise StorageUnavailable(
                f"{self.store.uri}/{checkpoint_key(self.trial_id)}: the trial's {self.group.size} processes read "
                f"checkpoints of different steps: {', '.join(map(str, steps))}"
            )

    def _is_of_other_images(self, state: dict[str, Any]) -> bool:
        """Whether a checkpoint is known to be of other images; earlier versions stored no fingerprint."""
        return len({state.get("data_fingerprint"), self.fingerprint} - {None}) > 1

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            if state["device"] != self.learner.device.type:  # its random numbers differ
                raise CheckpointError(f"is of a trial on {state['device']}, this one is on {self.learner.device.type}")
            self.learner.load_state_dict(state["learner"])
            self.progress.load_state_dict(state["progress"])
            if (table := self.learner.table) is not None:
                table.copy_(load_latents(self.store, self.trial_id, self.progress.step, *table.shape))
            self.started_at = datetime.fromisoformat(state["started_at"])
            self.resumes = state["resumes"] + (0 if self.progress.done else 1)
        except torch.OutOfMemoryError:
            raise
        except CheckpointError as error:
            raise checkpoint_error(self.store, checkpoint_key(self.trial_id), str(error)) from error
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            problem = f"does not fit these settings ({type(error).__name__})"
            raise checkpoint_error(self.store, checkpoint_key(self.trial_id), problem) from error

    def advance(self, budget_s: float) -> None:
        """Train to the end of the epoch or for about ``budget_s`` seconds, and store what is due then.

        The leader decides the number of steps for all. Raises NonFiniteLossError, StorageError, ConnectionError.
        """
        if self.progress.done:
            return
        self.progress.advance(self.group.broadcast(self.progress.steps_within(budget_s)))
        if self.progress.measures_now:
            self._measure()
        if self.settings.training.max_minutes is not None and not self.progress.done:
            self.progress.timed_out = self.group.broadcast(self.progress.is_late)
        done = self.progress.done
        epoch, training = math.ceil(self.progress.epoch), self.settings.training
        within_epoch = self.progress.step % self.progress.steps_per_epoch and not done
        if not within_epoch and (done or (training.samples_every and epoch % training.samples_every == 0)):
            self._save_samples(epoch)
        if not within_epoch and (done or epoch % training.checkpoint_every == 0):
            self.save()
        else:
            self._publish()

    def _measure(self) -> None:
        """Compute the sample metrics, and store the generator if its FID is the lowest so far."""
        self.learner.sync_buffers()
        metrics: Row = {}
        if self.group.is_leader:
            assert self.sample_metrics is not None
            metrics = {**self.sample_metrics.quick(self._samples())._asdict(), **self._code_metrics()}
        self.progress.add_sample_metrics(self.group.broadcast(metrics))
        if self.group.is_leader and self.progress.health.best_step == self.progress.step:
            fid, networks = self.progress.health.best_fid, self.learner.sampling_networks.state_dict()
            save_best(self.store, self.trial_id, {"step": self.progress.step, "fid": fid, "networks": networks})

    def _samples(self) -> Tensor:
        """Images (n, c, h, w) uint8 from latent vectors that are the same at every measurement."""
        count, device = self.settings.training.measure_samples, self.learner.device
        random = torch.Generator().manual_seed(self.settings.training.seed)
        latents = torch.randn(count, self.settings.latent_dim, generator=random).to(device)
        return torch.cat([to_bytes(self.learner.sample(part)) for part in torch.split(latents, _SAMPLED_AT_ONCE)])

    def _code_metrics(self) -> Row:
        """Metrics of the training images' codes, if there are any: of ``measure_samples`` images, always the same."""
        images = self.learner.images
        selected = order_of(len(images))[: self.settings.training.measure_samples]
        indices = torch.from_numpy(selected).to(images.device)
        parts = [self.learner.codes(part) for part in torch.split(indices, _SAMPLED_AT_ONCE)]
        codes = [part for part in parts if part is not None]
        return measure_codes(torch.cat(codes))._asdict() if codes else {}

    def save(self) -> None:
        """Store the metrics so far and a checkpoint, from which the trial resumes on any number of processes."""
        self.learner.sync_buffers()
        if not self.group.is_leader:
            return
        self.save_metrics()
        if self.learner.table is not None:
            save_latents(self.store, self.trial_id, self.progress.step, self.learner.table)
        state = {
            "device": self.learner.device.type,
            "data_fingerprint": self.fingerprint,
            "learner": self.learner.state_dict(),
            "progress": self.progress.state_dict(),
            "started_at": self.started_at.isoformat(),
            "resumes": self.resumes,
        }
        save_checkpoint(self.store, self.trial_id, state)
        if self.learner.table is not None:
            drop_latents(self.store, self.trial_id, self.progress.step)

    def save_metrics(self) -> None:
        """Store all rows of metrics/ logged so far, and replace those before."""
        if self.group.is_leader:
            self._write_metrics(self.store)

    def _publish(self) -> None:
        """Store rows that are new since the last write, where that is PUBLISH_S ago.

        Storage that does not answer is not waited for, as it is at the checkpoint: the next write has the same rows.
        """
        due = time.monotonic() >= self._publish_at and len(self.progress.rows) > self._published
        if due and self.group.is_leader:
            with suppress(StorageUnavailable):
                self._write_metrics(self.store.quick())

    def _write_metrics(self, store: Store) -> None:
        began, count = time.monotonic(), len(self.progress.rows)
        rows = [{"trial_id": self.trial_id, **row} for row in self.progress.rows]
        try:
            write_rows(store, f"metrics/{self.trial_id}.parquet", schema_of(METRICS), rows)
            self._published = count
        finally:
            now = time.monotonic()
            self._publish_at = now + max(PUBLISH_S, (now - began) / _PUBLISH_SHARE)

    def _save_samples(self, epoch: int) -> None:
        self.learner.sync_buffers()
        if self.group.is_leader:
            self.store.write(f"samples/{self.trial_id}/epoch-{epoch:04d}.png", self._sample_grid())
            if rows := self.learner.panel(_ACROSS):
                panel = tiled(torch.stack([to_unit(row) for row in rows]))
                self.store.write(f"samples/{self.trial_id}/autoencoder-{epoch:04d}.png", panel)

    def _sample_grid(self) -> bytes:
        """PNG of 8x8 images from latent vectors that are the same at every epoch."""
        images = functional.pad(to_unit(self.learner.sample(self.learner.fixed_latents)), (_GAP, 0, _GAP, 0))
        rows = torch.unflatten(images, 0, (8, 8)).permute(2, 0, 3, 1, 4)  # channel, row, height, column, width
        grid = functional.pad(rows.flatten(3, 4).flatten(1, 2), (0, _GAP, 0, _GAP))
        pixels = grid.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        buffer = io.BytesIO()
        shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        Image.fromarray(shown).save(buffer, format="png", optimize=True)
        return buffer.getvalue()

    def summary(self) -> dict[str, object]:
        """The trial's own columns of trials/: its position, the last epoch's means, its times and device."""
        return {
            **self.progress.summary(),
            "classifier": self.sample_metrics.digest if self.sample_metrics is not None else None,
            "resumes": self.resumes,
            "device": self.learner.device.type,
            **device_columns(self.learner.device),
            "workers": self.group.size,
            "precision": self.learner.precision,
            "started_at": self.started_at,
        }
