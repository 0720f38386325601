"""What a user may call a storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StorageError
from orchestrator.store.open import open_store


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("results", "{cwd}/results"),
        ("./results/", "{cwd}/results"),
        ("/data/my results", "/data/my results"),
        ("file:///data/my%20results", "/data/my results"),
        ("~/results", "{home}/results"),
        ("a:b", "{cwd}/a:b"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket-1/a/b c/", "s3://my.bucket-1/a/b c"),
        ("S3://bucket/jane@lab.org/x", "s3://bucket/jane@lab.org/x"),
    ],
)
def test_storages(uri: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/jane")
    store = open_store(uri)
    assert store.uri == meant.format(cwd=tmp_path, home="/home/jane")
    assert open_store(store.uri).uri == store.uri
    assert not list(tmp_path.iterdir()), "opening a storage must not touch it"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("res\nults", "cannot be printed"),
        ("res\x00ults", "cannot be printed"),
        ("~no-such-user-here/x", "home folder"),
        ("file://results", "absolute path"),
        ("file://jane:hush@host/data", "absolute path"),
        ("file:results", "absolute path"),
        ("file:///a%00b", "absolute path"),
        ("gs://bucket/x", "gs:// is not supported"),
        ("https://jane:hush@host/x?token=hush", "https:// is not supported"),
        ("hdfs:/x/hush", "hdfs:// is not supported"),
        ("s3:bucket/x", "two slashes"),
        ("s3:/hush/x", "two slashes"),
        ("s3://", "'' is no name of a bucket"),
        ("s3:///x", "'' is no name of a bucket"),
        ("s3://ab/x", "'ab' is no name of a bucket"),
        ("s3://my bucket/x", "'my bucket' is no name of a bucket"),
        ("s3://a..b/x", "'a..b' is no name of a bucket"),
        ("s3://-abc/x", "'-abc' is no name of a bucket"),
        ("s3://" + "b" * 64, "is no name of a bucket"),
        ("s3://bucket?key=hush/x", "is no name of a bucket"),
        ("s3://jane:hush@bucket/x", "no credentials"),
        ("s3://hush@bucket/x", "no credentials"),
        ("s3://jane:hu/sh@bucket/x", "no credentials"),
        ("s3://host:9000/bucket", "AWS_ENDPOINT_URL"),
        ("s3://bucket//x", "cannot name a blob"),
        ("s3://bucket/../x", "cannot name a blob"),
        ("s3://bucket/a\\b", "cannot name a blob"),
    ],
)
def test_what_is_no_storage_is_one_line_without_secrets(uri: str, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_store(uri)
    text = str(caught.value)
    assert words in text
    assert text.isprintable()
    assert len(text) < 300
    assert "hush" not in text
    assert "sh@" not in text


@given(st.text(max_size=40) | st.text(max_size=40).map("s3://".__add__))
def test_nothing_else_is_raised(uri: str) -> None:
    try:
        store = open_store(uri)
    except StorageError as error:
        told = str(error)
    else:
        told = store.uri
        assert told.startswith("s3://") or Path(told).is_absolute()
    assert told.isprintable()
