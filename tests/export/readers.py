"""What trackers have of trials, by their own readers."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class Run:
    """A trial in a tracker: its settings as text, values by name and step, and steps of pictures."""

    settings: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    succeeded: bool | None = None

    def add(self, name: str, step: int, value: float) -> None:
        if name.startswith("last/"):
            self.last[name.removeprefix("last/")] = value
        else:
            self.values[name].append((step, value))


def tensorboard(folder: Path) -> dict[str, Run]:
    """The runs below a folder of TensorBoard's."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    runs = {}
    for place in folder.iterdir():
        events, run = EventAccumulator(str(place), {"scalars": 0, "images": 0}), Run()
        events.Reload()
        tags: dict[str, Any] = events.Tags()
        for name in tags["scalars"]:
            for one in events.Scalars(name):
                run.add(name, one.step, one.value)
        for name in tags["images"]:
            run.pictures[name] = [one.step for one in events.Images(name)]
        told = events.PluginTagToContent("hparams")
        begin = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
        kinds = {name: value.WhichOneof("kind") for name, value in begin.hparams.items()}
        run.settings = {name: str(getattr(begin.hparams[name], kind)) for name, kind in kinds.items()}
        if content := told.get(metadata.SESSION_END_INFO_TAG):
            end = metadata.parse_session_end_info_plugin_data(content)
            run.succeeded = end.status == api_pb2.STATUS_SUCCESS
        runs[place.name] = run
    return runs


def mlflow(folder: Path) -> dict[str, Run]:
    """The runs of the only experiment of ours in a folder's mlflow.db."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    runs = {}
    for found in client.search_runs([experiment.experiment_id]):
        run, run_id = Run(settings=found.data.params), found.info.run_id
        for name in found.data.metrics:
            for one in client.get_metric_history(run_id, name):
                run.add(name, one.step, one.value)
        for name in ("samples", "autoencoder"):
            for file in client.list_artifacts(run_id, name):
                assert (folder / "artifacts" / run_id / "artifacts" / file.path).read_bytes().startswith(b"\x89PNG")
                run.pictures[name].append(int(file.path.rpartition("-")[2].removesuffix(".png")))
        run.succeeded = {"FINISHED": True, "FAILED": False}.get(found.info.status)
        assert found.data.tags["mlflow.runName"] == found.info.run_name
        runs[found.info.run_name] = run
    return runs


def wandb(folder: Path) -> dict[str, Run]:
    """The offline runs below a folder; several of one id are parts of one run."""
    runs: dict[str, Run] = {}
    for place in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        run = runs.setdefault(place.stem.removeprefix("run-"), Run())
        for record in _records(place):
            if record.HasField("run"):
                assert (record.run.run_id, record.run.display_name) == (place.stem.removeprefix("run-"),) * 2
                run.succeeded = "failed" not in record.run.tags
                run.settings |= {
                    one.key: str(json.loads(one.value_json)) for one in record.run.config.update if one.key != "_wandb"
                }
            elif record.HasField("history"):
                items = {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in record.history.item}
                step = items.pop("_step", record.history.step.num)
                for name, value in items.items():
                    if name.endswith("._type") and value == "image-file":
                        run.pictures[name.removesuffix("._type")].append(step)
                    elif not name.startswith("_") and "." not in name:
                        run.add(name, step, value)
            elif record.HasField("summary"):
                for one in record.summary.update:
                    run.last[one.key.removeprefix("last/")] = json.loads(one.value_json)
    return runs


def _records(path: Path) -> Iterator[Any]:
    """The records of an offline run: protobuf in the form of LevelDB's log, in blocks of 32 KiB, after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, content = path.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        content += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(content)
            content = b""


READERS: dict[str, Callable[[Path], dict[str, Run]]] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
