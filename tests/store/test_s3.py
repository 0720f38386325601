"""S3 as storage: servers that lack something, servers in trouble, and what the user is told."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import cloudpickle
import pyarrow as pa
import pytest
from botocore.retries import standard

from orchestrator.errors import NotFoundError, StorageError, StorageUnavailable
from orchestrator.store import s3 as s3_module
from orchestrator.store.s3 import ATTEMPTS, S3Store
from orchestrator.store.tables import read_table, write_rows
from tests.s3 import OUTAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from typing import Any

pytestmark = pytest.mark.slow

ACTS: list[Callable[[S3Store], object]] = [
    lambda store: store.read("a"),
    lambda store: store.write("a", b"1"),
    lambda store: store.write("a", b"1", replace=False),
    lambda store: store.keys(),
    lambda store: store.delete("a"),
    lambda store: store.check(),
]
ACT_NAMES = ["read", "write", "write new", "keys", "delete", "check"]
every_act = pytest.mark.parametrize("act", ACTS, ids=ACT_NAMES)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again at once."""
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda *_: 0.0)


@pytest.fixture
def store(s3_bucket: str) -> S3Store:
    return S3Store(s3_bucket, "lab/study")


def told(error: BaseException, *words: str) -> None:
    """The user sees one line with ``words`` in it and no secret."""
    text = str(error)
    assert text.isprintable()
    assert "hush" not in text
    assert len(text) < 350
    for word in words:
        assert word in text, text


def refuse_without_length(_: str, __: str, headers: Message) -> tuple[int, str] | None:
    encodings = f"{headers.get('Transfer-Encoding', '')} {headers.get('Content-Encoding', '')}".lower()
    if headers.get("Content-Length") is None or "chunked" in encodings:
        return (411, "MissingContentLength")
    return None


def test_a_server_that_refuses_chunked_uploads(store: S3Store, s3_proxy: Any) -> None:
    s3_proxy.answer = lambda method, *rest: refuse_without_length(method, *rest) if method == "PUT" else None
    plain = http.client.HTTPConnection(s3_proxy.url.removeprefix("http://"))
    plain.request("PUT", "/bucket/key", body=iter([b"12", b"345"]), encode_chunked=True)
    assert plain.getresponse().status == 411
    plain.close()
    store.check()
    store.write("a", b"1")
    store.write("b", b"2" * 5_000_000, replace=False)
    schema = pa.schema([("x", pa.int64())])
    assert write_rows(store, "trials/0123456789abcdef.parquet", schema, [{"x": 1}], replace=False)
    assert read_table(store, "trials").table["x"].to_pylist() == [1]
    puts = {path.rpartition("/")[2]: headers for method, path, headers in s3_proxy.seen if method == "PUT"}
    assert puts["b"]["Content-Length"] == "5000000"
    # Over TLS, a checksum that was not asked for comes as a trailer, and so the body in chunks.
    assert not [name for headers in puts.values() for name in headers if "checksum" in name.lower()]


def test_a_server_that_ignores_the_condition(store: S3Store, s3_proxy: Any) -> None:
    s3_proxy.dropped_headers = {"if-none-match"}
    assert store.write("a", b"1", replace=False) is True
    assert store.write("a", b"2", replace=False) is False
    assert store.read("a") == b"1"


@pytest.mark.parametrize("reply", [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_server_that_rejects_the_condition(store: S3Store, s3_proxy: Any, reply: tuple[int, str]) -> None:
    s3_proxy.answer = lambda _, __, headers: reply if headers.get("If-None-Match") else None
    assert store.write("a", b"1", replace=False) is True
    assert store.write("a", b"2", replace=False) is False
    assert store.read("a") == b"1"


def test_the_condition_decides_where_two_writers_meet(store: S3Store, s3_proxy: Any) -> None:
    store.write("a", b"theirs")
    s3_proxy.answer = lambda method, *_: (404, "") if method == "HEAD" else None  # seen too early
    assert store.write("a", b"ours", replace=False) is False
    assert store.read("a") == b"theirs"


def test_a_conflict_is_tried_again(store: S3Store, s3_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module.time, "sleep", lambda _: None)
    conflicts = iter([(409, "ConditionalRequestConflict")] * 2)
    s3_proxy.answer = lambda method, *_: next(conflicts, None) if method == "PUT" else None
    assert store.write("a", b"1", replace=False) is True
    s3_proxy.answer = lambda method, *_: (409, "ConditionalRequestConflict") if method == "PUT" else None
    with pytest.raises(StorageUnavailable) as caught:
        store.write("b", b"1", replace=False)
    told(caught.value, f"{store.uri}/b: cannot write", "try again later")


def test_whether_a_blob_is_there_is_asked_without_reading_it(store: S3Store, s3_proxy: Any) -> None:
    store.write("a", b"1" * 1000)
    s3_proxy.seen.clear()
    assert (store.exists("a"), store.exists("b")) == (True, False)
    assert [method for method, *_ in s3_proxy.seen] == ["HEAD", "HEAD"]
    s3_proxy.answer = lambda *_: (403, "")
    with pytest.raises(StorageError) as caught:
        store.exists("a")
    told(caught.value, f"{store.uri}/a: cannot look up: access denied; allow s3:GetObject")
    s3_proxy.answer = lambda *_: (503, "")
    with pytest.raises(StorageUnavailable):
        store.exists("a")


@every_act
def test_a_quick_request_is_made_once(store: S3Store, s3_proxy: Any, act: Callable[[S3Store], object]) -> None:
    quick = store.child("x").quick().sibling("study")
    assert quick.uri == store.uri.replace("study", "study/study")
    for answer in OUTAGE:
        s3_proxy.seen.clear()
        s3_proxy.answer = lambda *_, answer=answer: answer
        with pytest.raises(StorageUnavailable):
            act(quick)
        assert len(s3_proxy.seen) == 1


def test_a_lost_reply_does_not_lose_the_claim(store: S3Store, s3_proxy: Any) -> None:
    s3_proxy.lose_replies = 1
    assert store.write("a", b"ours", replace=False) is True
    assert store.read("a") == b"ours"
    assert [method for method, *_ in s3_proxy.seen].count("PUT") == 2


def test_a_reply_that_breaks_off_is_read_again(store: S3Store, s3_proxy: Any) -> None:
    store.write("a", b"1" * 100_000)
    s3_proxy.cut_bodies = 2
    assert store.read("a") == b"1" * 100_000
    s3_proxy.cut_bodies = 1000
    with pytest.raises(StorageUnavailable) as caught:
        store.read("a")
    told(caught.value, f"{store.uri}/a: cannot read", "the network")


@pytest.mark.parametrize("failure", OUTAGE)
def test_some_failures_are_overcome(store: S3Store, s3_proxy: Any, failure: tuple[int, str]) -> None:
    tries: Counter[tuple[str, str]] = Counter()

    def answer(method: str, path: str, headers: Message) -> tuple[int, str] | None:
        """Every fifth fails once, in whatever order they come; where many more do, the client stops trying."""
        name = path.partition("?")[0]
        number = int(name.rpartition("/")[2]) if "/x/" in name else 0
        with s3_proxy.lock:
            tries[method, name] += 1
            return failure if number % 5 == 0 and tries[method, name] == 1 else None

    s3_proxy.answer = answer
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: store.write(f"x/{n}", b"%d" % n, replace=False), range(30)))
        assert list(pool.map(lambda n: store.read(f"x/{n}"), range(30))) == [b"%d" % n for n in range(30)]
    assert len(store.keys("x")) == 30
    assert len(s3_proxy.seen) == 3 * (30 + 6) + 2  # a write asks first what is there


@every_act
@pytest.mark.parametrize("reply", [(500, "InternalError"), (503, "SlowDown"), (502, "<html>no</html>")])
def test_a_server_that_only_fails(
    store: S3Store, s3_proxy: Any, act: Callable[[S3Store], object], reply: tuple[int, str]
) -> None:
    s3_proxy.answer = lambda *_: reply
    with pytest.raises(StorageUnavailable) as caught:
        act(store)
    told(caught.value, store.uri, f"the server answered {reply[0]}", f"(tries: {ATTEMPTS})", "try again later")
    assert len(s3_proxy.seen) == ATTEMPTS


@every_act
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((403, "InvalidAccessKeyId"), "does not know the access key; check AWS_ACCESS_KEY_ID"),
        ((403, "SignatureDoesNotMatch"), "the secret key is not the access key's; check"),
        ((403, "AccessDenied"), "access denied; allow s3:"),
        ((400, "ExpiredToken"), "expired; get new ones"),
        ((403, "RequestTimeTooSkewed"), "set the clock"),
        ((507, "InsufficientStorage"), "the storage is full; free some space"),
        ((418, "Tea&lt;b&gt; pot\n2"), "the server answered 418"),
    ],
    ids=lambda value: value[1][:12] if isinstance(value, tuple) else "",
)
def test_a_server_that_refuses(
    store: S3Store, s3_proxy: Any, act: Callable[[S3Store], object], reply: tuple[int, str], words: str
) -> None:
    s3_proxy.answer = lambda *_: reply
    if act is ACTS[2]:  # a reply to HEAD has no text, and a server that refuses answers the put as well
        s3_proxy.answer = lambda method, *_: (404, "") if method == "HEAD" else reply
    with pytest.raises(StorageError) as caught:
        act(store)
    assert not isinstance(caught.value, NotFoundError)
    told(caught.value, store.uri, words)


@every_act
def test_a_bucket_that_is_not_there(s3_bucket: str, act: Callable[[S3Store], object]) -> None:
    with pytest.raises(StorageError) as caught:
        act(S3Store(f"{s3_bucket}-not", "lab"))
    assert not isinstance(caught.value, NotFoundError)
    told(caught.value, f"s3://{s3_bucket}-not/lab", "there is no such bucket; create it")


@every_act
def test_no_credentials(store: S3Store, s3_environment: Any, act: Callable[[S3Store], object]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        s3_environment.delenv(name)
    with pytest.raises(StorageError) as caught:
        act(store)
    told(caught.value, store.uri, "no AWS credentials found; set AWS_ACCESS_KEY_ID")


@every_act
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": None}, "AWS credentials"),
        ({"AWS_PROFILE": "hush-profile"}, "AWS_PROFILE names no profile"),
        ({"AWS_ENDPOINT_URL": "user:hush@nowhere"}, "AWS_ENDPOINT_URL is not a URL"),
        ({"AWS_ENDPOINT_URL": "http://user:hush@127.0.0.1:REFUSED"}, "no answer from http://127.0.0.1:"),
        ({"AWS_ENDPOINT_URL": "https://user:hush@127.0.0.1:HTTP"}, "no trusted TLS connection"),
    ],
    ids=["half", "profile", "no URL", "refused", "TLS"],
)
def test_wrong_settings(
    store: S3Store,
    s3_environment: Any,
    act: Callable[[S3Store], object],
    settings: dict[str, str | None],
    words: str,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        ports = {"REFUSED": str(unused.getsockname()[1]), "HTTP": os.environ["AWS_ENDPOINT_URL"].split(":")[-1]}
        for name, value in settings.items():
            if value is None:
                s3_environment.delenv(name)
            else:
                host, _, port = value.rpartition(":")
                s3_environment.setenv(name, f"{host}:{ports[port]}" if port in ports else value)
        with pytest.raises(StorageError) as caught:
            act(store)
    told(caught.value, words)


def test_what_answers_is_no_s3(store: S3Store, s3_proxy: Any) -> None:
    s3_proxy.answer = lambda *_: (200, "<html>Welcome!</html>")
    with pytest.raises(StorageError) as caught:
        store.check()
    told(caught.value, store.uri, "check AWS_ENDPOINT_URL")


def test_a_bucket_where_nothing_may_be_deleted_or_listed(store: S3Store, s3_proxy: Any) -> None:
    s3_proxy.answer = lambda method, path, _: (403, "AccessDenied") if "list-type" in path else None
    with pytest.raises(StorageError) as caught:
        store.check()
    told(caught.value, "cannot list: access denied; allow s3:ListBucket")
    s3_proxy.answer = lambda method, *_: (403, "AccessDenied") if method == "DELETE" else None
    with pytest.raises(StorageError) as caught:
        store.check()
    told(caught.value, "cannot delete: access denied; allow s3:DeleteObject")


def test_a_key_that_may_be_written_but_not_looked_up(store: S3Store, s3_proxy: Any) -> None:
    s3_proxy.answer = lambda method, *_: (403, "") if method == "HEAD" else None
    assert store.write("a", b"1", replace=False) is True
    assert store.write("a", b"2", replace=False) is False


def test_foreign_names_in_the_bucket_are_not_listed(store: S3Store) -> None:
    client = boto3.session.Session().client("s3")
    bucket = store.uri.split("/")[2]
    for name in ("lab/study/", "lab/study//x", "lab/study/../y", "lab/study/ok", "lab/study-2/x", "lab/study/a/"):
        client.put_object(Bucket=bucket, Key=name, Body=b"")
    client.close()
    assert store.keys() == ["ok"]
    assert store.uri == f"s3://{bucket}/lab/study"
    assert S3Store(bucket).uri == f"s3://{bucket}"


def test_one_client_a_process_and_none_in_what_is_sent(store: S3Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        clients = set(pool.map(lambda _: id(s3_module._client(quick=False)), range(32)))
    assert len(clients) == 1
    assert len(s3_module._clients) == 1
    store.write("a", b"1")
    sent = cloudpickle.dumps(store)
    assert len(sent) < 500
    assert b"hush" not in sent
    assert b"AKIA" not in sent


def test_a_forked_process_makes_its_own_client(store: S3Store) -> None:
    program = (
        "import os, sys, pickle; from orchestrator.store import s3; store = pickle.load(sys.stdin.buffer)\n"
        "store.write('parent', b'1'); pid = os.fork()\n"
        "store.write('child' if pid == 0 else 'parent', b'2')\n"
        "if pid == 0: os._exit(0 if len(s3._clients) == 2 else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    subprocess.run([sys.executable, "-c", program], input=cloudpickle.dumps(store), check=True)
    assert store.keys() == ["child", "parent"]


def test_path_style_addresses_at_a_named_host(store: S3Store, s3_environment: Any) -> None:
    port = os.environ["AWS_ENDPOINT_URL"].split(":")[-1]
    s3_environment.setenv("AWS_ENDPOINT_URL", f"http://localhost:{port}")
    store.check()  # bucket.localhost would not be found
