"""Jobs handed to a cluster that is pretended: what the commands say of a run that begins, waits or comes to nothing."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import control, handover
from orchestrator.cli.handover import begin
from orchestrator.errors import ClusterError
from orchestrator.runtime.runtime_env import pack
from orchestrator.state.handovers import Handover, note_failure, read_handover, settle_handover, write_handover
from orchestrator.state.log import RunLog
from orchestrator.state.marks import Kind, Line, MarkedStdout, read_marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.spec.job import Job
    from orchestrator.store.local import LocalStore

URL, ID = "http://head:8265", "orch-study-1"
LACKS = "python on the cluster (/usr/bin/python, 3.11) lacks torch; its image must hold all that orch needs"
SEEN, UNSEEN = Line("seen", Kind.BEGUN), Line("unseen", Kind.BEGUN)


@dataclass
class Cluster:
    """What Ray Jobs knows of the one submission; ``silent`` is why it does not answer."""

    lines: list[Line] = field(default_factory=list)
    code: int | None = None
    queue: bool = False
    silent: str | None = None
    address: str = URL

    queues: bool = False

    def place(self, storage: str) -> str:
        return storage

    def submit(self, job: Job, storage: str, _: Any, notify: Callable[[str], None], **__: Any) -> str:
        for line in pack(job, storage).describe():
            notify(line)
        return ID

    def ended(self, submission: str) -> bool:
        assert submission == ID
        if self.silent:
            raise ClusterError(self.silent)
        return self.code is not None

    def waits(self, submission: str) -> str | None:
        assert submission == ID
        return "is queued there" if self.queue else None

    def log(self, submission: str) -> list[Line]:
        assert submission == ID
        return self.lines

    def follow(self, submission: str) -> Iterator[Line]:
        return iter(self.log(submission))

    def result(self, submission: str) -> int:
        assert submission == ID
        assert self.code is not None
        if self.code == 137:
            raise ClusterError(f"{ID} failed on the cluster: killed")
        return self.code


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    for module in (handover, control):
        monkeypatch.setattr(module, "connect", lambda address, **_: cluster)
        monkeypatch.setattr(module, "_BEGIN_S", 0.02)
        monkeypatch.setattr(module, "_POLL_S", 0.01)
    return cluster


@pytest.fixture
def submit(orch: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Hands the job over, by default to be left alone; its results go to a folder of this machine."""

    def submit(*options: str, storage: str = f"{folder}/results") -> Any:
        ran = orch("submit", "job.yaml", "--storage", storage, "--address", URL, *(options or ["--detach"]))
        travels, _, rest = ran.err.partition("\n")
        assert travels.startswith("travels: the job (3 files, ")
        return replace(ran, err=rest)

    return submit


@pytest.mark.parametrize(
    ("lines", "code", "cause", "left"),
    [
        ([Line(f"error: {LACKS}")], 2, LACKS, 2),
        # the error, whatever comes after it; else what it said last; else what Ray says
        ([Line("warning"), Line("error: no room"), Line("bye")], 2, "no room", 2),
        ([Line("Traceback:"), Line("ValueError: x"), Line("")], 1, "ValueError: x", 1),
        ([], 137, f"{ID} failed on the cluster: killed", 2),
        ([], 130, "it ended with exit code 130 and said nothing", 130),
    ],
)
@pytest.mark.parametrize("detach", [True, False])
def test_a_hand_over_that_came_to_nothing_is_told_by_all_commands(
    submit: Callable[..., Any],
    orch: Callable[..., Any],
    store: LocalStore,
    cluster: Cluster,
    lines: list[Line],
    code: int,
    cause: str,
    left: int,
    detach: bool,
) -> None:
    cluster.lines, cluster.code = lines, code
    ran = submit(*(["--detach"] if detach else ["--retry-failed"]))
    assert ran.code == left
    if detach:
        assert (ran.out, ran.err) == (f"{ID}\n", f"error: {ID} came to nothing on {URL}: {cause}\n")
    cluster.silent = "gone"  # what is recorded is enough
    news = f"handed over to {URL} as {ID}, which came to nothing: {cause}"
    assert orch("status", "study").out == f"study: {news}\n"
    assert json.loads(orch("status", "study", "--json").out)["handover"] == news
    assert orch("logs", "study").mistake == f"{store.uri}: no log; {news}"
    assert orch("logs", "study", "-f").mistake == f"study: {news}"


def test_that_a_cluster_is_not_sent_whom_to_tell(
    submit: Callable[..., Any], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_NOTIFY", "https://host/T0ken")
    for queues in (False, True):
        cluster.queues, cluster.lines, cluster.code = queues, [Line("error: no room")], 2
        ran = submit("--retry-failed")
        assert ("note: ORCH_NOTIFY is not sent to a cluster; " in ran.err) != queues
        assert "T0ken" not in ran.err


def test_left_alone_once_it_has_begun(submit: Callable[..., Any], store: LocalStore, cluster: Cluster) -> None:
    cluster.lines = [Line("study: 4 trials"), SEEN]
    ran = submit()
    assert (ran.code, ran.out) == (0, f"{ID}\n")
    words = [line.split() for line in ran.err.splitlines()]
    assert [word[1] for word in words] == ["status", "logs", "cancel", "logs"]
    record = read_handover(store)
    assert record is not None
    assert (record.address, record.submission_id, record.error) == (URL, ID, None)


@pytest.mark.parametrize("queue", [True, False])
def test_a_run_that_is_late_is_told_as_what_it_is(
    submit: Callable[..., Any], orch: Callable[..., Any], cluster: Cluster, queue: bool
) -> None:
    cluster.queue = queue
    ran = submit()
    assert (ran.code, ran.out) == (0, f"{ID}\n")
    late = "Ray has only queued it" if queue else "it has started, but not begun"
    assert ran.err.startswith(f"{late} in 0 s; {ID} goes on without this command\n")
    how = "is queued there" if queue else "has started there, but not begun to train"
    assert orch("status", "study").out == f"study: handed over to {URL} as {ID}, which {how}\n"
    assert orch("cancel", "study").mistake.endswith(
        f": no run is at work on it; it was handed over to {URL} as {ID}: --address {URL} stops it there"
    )
    cluster.silent = f"{URL}: no answer"
    assert submit().err.startswith(f"{URL}: no answer; {ID} goes on without this command\n")
    news = f"handed over to {URL} as {ID}, of which nothing was heard since ({URL}: no answer)"
    assert orch("status", "study").out == f"study: {news}\n"


def test_storage_that_the_cluster_calls_otherwise(
    submit: Callable[..., Any], orch: Callable[..., Any], cluster: Cluster, folder: Path
) -> None:
    verbs = ["status", "logs", "cancel", "cancel", "logs"]
    elsewhere = f"{folder}/other is another place on the cluster than here"
    for storage, begun, why in (
        (f"{folder}/not/here", SEEN, f"{folder}/not/here is not on this machine"),
        (f"{folder}/job.yaml", SEEN, f"{folder}/job.yaml/study/handover.json: cannot write: "),
        (f"{folder}/other", UNSEEN, elsewhere),
    ):
        cluster.lines = [begun]
        ran = submit(storage=storage)
        first, *rest = ran.err.splitlines()
        assert first.startswith(why)
        assert first.endswith("; where the cluster's storage can be reached, these work:")
        assert [line.split()[1] for line in rest if line.startswith("  orch ")] == verbs
    assert not (folder / "not").exists()
    begun_there = "which has begun; but the cluster keeps its results elsewhere, under the same name"
    assert begun_there in orch("status", "study", "--storage", f"{folder}/other").out


def test_a_run_that_begins_removes_the_record(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Handover(URL, ID, 1.0), Handover(URL, "orch-study-2", 2.0)
    assert not settle_handover(store, ID)
    write_handover(store, first)
    note_failure(store, second, "is not there any more")
    assert settle_handover(store, "another's"), "storage is what the client wrote to"
    assert read_handover(store) == first, "it may still begin"
    assert settle_handover(store, ID)
    assert read_handover(store) is None
    write_handover(store, first)
    note_failure(store, first, "no room")
    begin(store)
    assert read_handover(store) is None, "a run of this machine has made up for it"


def test_logs_go_on_with_the_run_that_was_handed_over_since(
    submit: Callable[..., Any], orch: Callable[..., Any], store: LocalStore, cluster: Cluster
) -> None:
    before = RunLog(store)
    before.add("one")
    before.end()
    cluster.lines, cluster.code = [Line("error: no room")], 2
    submit()
    ran = orch("logs", "study")
    assert (ran.code, ran.out[21:]) == (0, "one\n")
    news = f"handed over to {URL} as {ID}, which came to nothing: no room"
    assert ran.err == f"that was before; since then {news}\n"
    assert orch("logs", "study", "-f").err.endswith(f"error: study: {news}\n")


def test_stdout_is_told_from_stderr_by_marks_whatever_the_lines_say(
    submit: Callable[..., Any], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    stdout = MarkedStdout(log)
    log.write("results  are no results\n")
    stdout.write('{\n  "error: a": 1\n}\n')
    log.write("half a note ")
    stdout.write("error: no error\n")
    stdout.write_begun(seen=True)
    log.write("}\n")
    cluster.lines = [each for line in log.getvalue().splitlines() for each in read_marks(line)]
    cluster.code = 0
    for options in (["--dry-run", "--json"], ["--retry-failed"]):
        ran = submit(*options)
        assert (ran.code, ran.out) == (0, '{\n  "error: a": 1\n}\nerror: no error\n')
        assert ran.err.endswith("results  are no results\nhalf a note \n}\n")
        assert "\x1f" not in ran.out + ran.err
