"""Trials as runs of TensorBoard: a folder each, with one more file of events for every export that has something new.

What is there already is read back by TensorBoard's own reader.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from PIL import Image

from orchestrator.errors import ExportError
from orchestrator.export.extras import require
from orchestrator.export.folders import check_folder

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.export.records import Record
    from orchestrator.store.location import Store


def open_at(target: str, job: str) -> TensorBoard:
    """The folder that ``tensorboard --logdir`` is to show. Raises ExportError."""
    require("--to tensorboard", "tensorboard", "tensorboard")
    return TensorBoard(check_folder("--out", target))


class TensorBoard:
    """Runs below a folder: metrics under their columns' names, last values as ``last/<name>``, settings as hparams."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder

    def add(self, record: Record, store: Store) -> bool:
        """See Tracker."""
        known = _Known(self._folder / record.trial_id)
        new = [*known.settings(record), *known.scalars(record), *known.last(record), *known.pictures(record, store)]
        if not new:
            return False
        try:
            self._write(record.trial_id, new)
        except OSError as error:
            raise ExportError(f"{self.where}: cannot write: {error.strerror or error}") from error
        return True

    def settle(self) -> None:
        """Nothing is left to write."""

    def _write(self, trial_id: str, new: list[tuple[int, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        now, writer = time.time(), EventFileWriter(str(self._folder / trial_id))
        try:
            for step, summary in new:
                writer.add_event(Event(wall_time=now, step=step, summary=summary))
        finally:
            writer.close()


class _Known:
    """What a run's folder has already: of each name the last step and value."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing import event_accumulator as reader

        sizes = {reader.SCALARS: 1, reader.IMAGES: 1, reader.TENSORS: 1}
        events = reader.EventAccumulator(str(folder), sizes)
        if folder.is_dir():
            events.Reload()
        tags = events.Tags()
        self._scalars = {tag: events.Scalars(tag)[-1] for tag in tags[reader.SCALARS]}
        self._images = {tag: events.Images(tag)[-1].step for tag in tags[reader.IMAGES]}
        self._told = set(events.summary_metadata)

    def settings(self, record: Record) -> list[tuple[int, Any]]:
        """The settings, and once a trial has ended how; of the whole experiment TensorBoard finds out by itself."""
        from tensorboard.plugins.hparams import metadata, summary_v2

        plain = {
            name: value if isinstance(value, int | float | bool) else str(value)
            for name, value in record.settings.items()
        }
        wanted = {metadata.SESSION_START_INFO_TAG: summary_v2.hparams_pb(plain, trial_id=record.trial_id)}
        if record.ended:
            wanted[metadata.SESSION_END_INFO_TAG] = _end(record)
        return [(0, summary) for tag, summary in wanted.items() if tag not in self._told]

    def scalars(self, record: Record) -> list[tuple[int, Any]]:
        """The rows after the last step that is there."""
        done = {
            name: self._scalars[name].step if name in self._scalars else -1 for _, row in record.rows for name in row
        }
        return [
            (step, _scalar(name, value))
            for step, row in record.rows
            for name, value in row.items()
            if step > done[name]
        ]

    def last(self, record: Record) -> list[tuple[int, Any]]:
        """The last values that are not there."""
        import numpy as np

        return [
            (record.last_step, _scalar(name, value))
            for name, value in record.last.items()
            if name not in self._scalars or self._scalars[name].value != np.float32(value)
        ]

    def pictures(self, record: Record, store: Store) -> list[tuple[int, Any]]:
        """The pictures after the last step that is there."""
        return [
            (picture.step, _image(picture.name, record.read(store, picture)))
            for picture in record.pictures
            if picture.step > self._images.get(picture.name, -1)
        ]


def _end(record: Record) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if record.succeeded else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=(record.ended_ms or 0) / 1000)
    content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
    tag, tensor = metadata.SESSION_END_INFO_TAG, metadata.NULL_TENSOR
    return Summary(value=[Summary.Value(tag=tag, metadata=content, tensor=tensor)])


def _scalar(name: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def _image(name: str, png: bytes) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(io.BytesIO(png)) as image:
        width, height, channels = *image.size, len(image.getbands())
    encoded = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=name, image=encoded)])
