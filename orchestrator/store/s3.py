"""Storage below a prefix of an S3 bucket, on Amazon's servers or on any with an S3 interface."""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.errors import StorageError, StorageUnavailable
from orchestrator.store.drafts import is_draft
from orchestrator.store.location import RESERVED, Store, check_key, is_key, too_large
from orchestrator.store.s3_errors import is_of_credentials, status_of, storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

ATTEMPTS = 5
"""Tries of one request, with growing pauses, before a server counts as unavailable."""

_CONFIG = Config(
    # By default checksums are sent as chunked trailers, which Ceph's gateway answers with 411.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)
_QUICK = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=5))
"""For requests that must not wait; see Store.quick."""
_AT_WORK = timedelta(hours=1)
_clients: dict[tuple[int, bool], S3Client] = {}
_clients_lock = threading.Lock()


class S3Store(Store):
    """Blobs as objects ``<prefix>/<key>`` of ``bucket``; the bucket must exist.

    It has names only, so that it can be pickled; each process makes its own client, at its first request, from the
    usual chain of AWS settings (AWS_ENDPOINT_URL included).
    """

    parallel_reads: int = 32

    def __init__(self, bucket: str, prefix: str = "", *, quick: bool = False) -> None:
        self._bucket, self._quick = bucket, quick
        self._prefix = check_key(prefix) + "/" if prefix else ""

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r})"

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store."""
        return self._read(self._name(key), limit)

    def exists(self, key: str) -> bool:
        """See Store."""
        return self._exists(self._name(key), absent=(404,))

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store. One upload of up to 5 GiB, which readers see whole or not at all."""
        name = self._name(key)
        if replace:
            self._put(name, data)
            return True
        # Check first, because some servers ignore the condition of the put.
        # 403: without the right to list a bucket, a missing object is answered so. A reply to HEAD has no text, so a
        # missing bucket or wrong credentials are left to the put, whose reply names them.
        return not self._exists(name, absent=(400, 403, 404)) and self._put_new(name, data)

    def keys(self, prefix: str = "") -> list[str]:
        """See Store."""
        return sorted(key for key, _ in self._listed(prefix))

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store. A stamp is the object's entity tag."""
        return {key: item.get("ETag", "") for key, item in self._listed(folder)}

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See Store."""
        return {key: item.get("Size", 0) for key, item in self._listed(folder)}

    def folders(self) -> list[str]:
        """See Store."""
        with self._explained(self._prefix, "list"):
            listing = self._client().get_paginator("list_objects_v2")
            pages = listing.paginate(Bucket=self._bucket, Prefix=self._prefix, Delimiter="/")
            names = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
        folders = (name[len(self._prefix) :].removesuffix("/") for name in names)
        return sorted(name for name in folders if is_key(name))

    def delete(self, key: str) -> None:
        """See Store."""
        self._delete(self._name(key))

    def drop_folder(self, folder: str = "") -> None:
        """See Store. A bucket has no folders."""

    def child(self, folder: str) -> S3Store:
        """See Store."""
        return S3Store(self._bucket, self._name(folder), quick=self._quick)

    def sibling(self, folder: str) -> S3Store:
        """See Store."""
        return S3Store(self._bucket, self._prefix.rstrip("/").rpartition("/")[0], quick=self._quick).child(folder)

    def quick(self) -> S3Store:
        """See Store."""
        return S3Store(self._bucket, self._prefix.rstrip("/"), quick=True)

    def check(self) -> None:
        """See Store. The bucket is not created: its region and its rights are the user's choice."""
        probe = f"{self._prefix}{RESERVED}check-{secrets.token_hex(8)}"
        self._put(probe, b"orch")
        try:
            stored = self._read(probe) == b"orch"
            with self._explained(probe, "list"):
                page = self._client().list_objects_v2(Bucket=self._bucket, Prefix=probe)
            stored = stored and [item["Key"] for item in page.get("Contents", [])] == [probe]
        finally:
            self._delete(probe)
        if not stored:
            raise StorageError(f"{self.uri}: an object just written is not there; check AWS_ENDPOINT_URL")

    def tidy(self) -> None:
        """See Store. Only ``check`` can leave objects behind; those of the last hour may still be in use."""
        probes = f"{self._prefix}{RESERVED}check-"
        with self._explained(probes, "list"):
            page = self._client().list_objects_v2(Bucket=self._bucket, Prefix=probes)
        # The server's clock, as the objects' times are of it too.
        now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
        for item in page.get("Contents", []):
            old = now - item["LastModified"] > _AT_WORK
            if old and is_draft(item["Key"][len(self._prefix) :]):
                self._delete(item["Key"])

    def _listed(self, folder: str) -> list[tuple[str, ObjectTypeDef]]:
        """Keys of the objects below a folder or, where it is empty, the root, and what a list tells of each."""
        base = self._name(folder) + "/" if folder else self._prefix
        with self._explained(base, "list"):
            pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=base)
            items = [(item["Key"][len(self._prefix) :], item) for page in pages for item in page.get("Contents", [])]
        return [(key, item) for key, item in items if is_key(key)]

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _client(self) -> S3Client:
        return _client(self._quick)

    def _read(self, name: str, limit: int | None = None) -> bytes:
        for retries_left in reversed(range(1 if self._quick else ATTEMPTS)):
            with self._explained(name, "read"):
                body = self._client().get_object(Bucket=self._bucket, Key=name)["Body"]
                try:
                    with body:
                        data = body.read(None if limit is None else limit + 1)
                except BotoCoreError:  # the client retries a request, but not a reply that breaks off
                    if not retries_left:
                        raise
                    continue
                if limit is not None and len(data) > limit:
                    raise too_large(f"s3://{self._bucket}/{name}", limit)
                return data
        raise AssertionError("the last try returns or raises")

    def _put(self, name: str, data: bytes) -> None:
        with self._explained(name, "write"):
            self._client().put_object(Bucket=self._bucket, Key=name, Body=data)

    def _put_new(self, name: str, data: bytes) -> bool:
        """Put only where there is no object, if the server supports that condition; returns whether it was put."""
        for pause_s in (0.1, 0.4, 1.6, 0.0):
            refusal = self._put_if_none(name, data)
            if refusal is None:
                return True
            status = status_of(refusal)
            if status == 412:
                # The reply to our own first try may have been lost: then the stored blob is ours.
                tried_again = refusal.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
                return tried_again and self._read(name) == data
            if status != 409:  # either the server does not support the condition, or the next line raises
                self._put(name, data)
                return True
            time.sleep(pause_s)
        where = f"s3://{self._bucket}/{name}"
        raise StorageUnavailable(f"{where}: cannot write: others keep writing it; try again later")

    def _put_if_none(self, name: str, data: bytes) -> ClientError | None:
        """None when it was written, the server's reply when it refused the condition."""
        with self._explained(name, "write"):
            try:
                self._client().put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) in (400, 409, 412, 501):
                    return error
                raise
        return None

    def _exists(self, name: str, absent: tuple[int, ...]) -> bool:
        """Whether there is such an object; a reply with one of the statuses ``absent`` means that there is none."""
        with self._explained(name, "look up"):
            try:
                self._client().head_object(Bucket=self._bucket, Key=name)
                return True
            except ClientError as error:
                if status_of(error) in absent:
                    return False
                if status_of(error) in (400, 401, 403):  # a reply to HEAD has no text; that of a list names the refusal
                    self._client().list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
                raise

    def _delete(self, name: str) -> None:
        with self._explained(name, "delete"):
            self._client().delete_object(Bucket=self._bucket, Key=name)

    @contextmanager
    def _explained(self, name: str, action: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            if is_of_credentials(error):
                _forget_client(self._quick)  # the next request reads the credentials again
            # Without the cause: its text may have values of the settings, secrets included.
            raise storage_error(error, f"s3://{self._bucket}/{name}".rstrip("/"), action) from None


def _client(quick: bool) -> S3Client:
    """This process's client; a client may be used by many threads, but not on both sides of a fork."""
    with _clients_lock:
        name = os.getpid(), quick
        if name not in _clients:
            _clients[name] = _new_client(_QUICK if quick else _CONFIG)
        return _clients[name]


def _forget_client(quick: bool) -> None:
    with _clients_lock:
        _clients.pop((os.getpid(), quick), None)


def _new_client(config: Config) -> Any:
    try:
        return boto3.session.Session().client("s3", config=config)
    except ValueError:  # its text repeats the URL, which may hold a password
        raise StorageError("AWS_ENDPOINT_URL is not a URL; write it as https://host or http://host:port") from None
