"""Everything that speaks to Cloud Storage, unmodified, against a server of ours: Google's clients, gcsfs, pandas."""

from __future__ import annotations

import gzip
import io
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients


@pytest.fixture
def client(emulated: str) -> Any:
    """The official client; STORAGE_EMULATOR_HOST is all that it needs."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    return storage.Client(project="p", credentials=AnonymousCredentials())


@pytest.fixture
def bucket(client: Any) -> Any:
    """A bucket of this test's own."""
    return client.create_bucket(f"b-{uuid.uuid4().hex[:12]}")


def test_strings_files_and_streams(bucket: Any, tmp_path: Path) -> None:
    """Uploads and downloads from memory, from files and from streams, whole and in ranges."""
    blob = bucket.blob("dir/a b:é.txt")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("hello", content_type="text/plain")
    assert (blob.download_as_bytes(), blob.download_as_text()) == (b"hello", "hello")
    assert blob.download_as_bytes(start=1, end=3) == b"ell"
    blob.reload()
    assert (blob.metadata, blob.content_type, blob.size) == ({"k": "v"}, "text/plain", 5)
    (tmp_path / "in").write_bytes(os.urandom(100_000))
    bucket.blob("file").upload_from_filename(tmp_path / "in", checksum="md5")
    bucket.blob("file").download_to_filename(tmp_path / "out", checksum="crc32c")
    assert (tmp_path / "in").read_bytes() == (tmp_path / "out").read_bytes()
    stream = io.BytesIO()
    bucket.blob("file").download_to_file(stream)
    assert stream.getvalue() == (tmp_path / "in").read_bytes()
    with bucket.blob("written").open("w") as file:
        file.write("line\n" * 300_000)
    with bucket.blob("written").open("r") as file:
        assert sum(1 for _ in file) == 300_000
    assert bucket.get_blob("none") is None
    assert not bucket.blob("none").exists()


def test_large_files_go_in_pieces(client: Any, bucket: Any, tmp_path: Path) -> None:
    """Resumable uploads by the client's own thresholds and chunk sizes, and the transfer manager's parts."""
    from google.cloud.storage import transfer_manager

    data = os.urandom(20 << 20)
    (tmp_path / "large").write_bytes(data)
    chunked = bucket.blob("chunked", chunk_size=1 << 20)
    chunked.upload_from_filename(tmp_path / "large")
    bucket.blob("whole").upload_from_file(io.BytesIO(data))
    parts = bucket.blob("parts/x y")
    parts.cache_control = "no-store"
    transfer_manager.upload_chunks_concurrently(
        tmp_path / "large", parts, chunk_size=5 << 20, max_workers=2, worker_type="thread"
    )
    for name in ("chunked", "whole", "parts/x y"):
        assert bucket.blob(name).download_as_bytes() == data
    transfer_manager.download_chunks_concurrently(
        bucket.blob("whole"), tmp_path / "back", chunk_size=3 << 20, worker_type="thread"
    )
    assert (tmp_path / "back").read_bytes() == data
    (tmp_path / "many").mkdir()
    for number in range(20):
        (tmp_path / "many" / f"{number}.txt").write_text(str(number))
    results = transfer_manager.upload_many_from_filenames(
        bucket,
        [f"{number}.txt" for number in range(20)],
        tmp_path / "many",
        blob_name_prefix="m/",
        worker_type="thread",
    )
    assert results == [None] * 20
    assert len(list(client.list_blobs(bucket, prefix="m/"))) == 20
    found = transfer_manager.download_many_to_path(
        bucket, [f"m/{number}.txt" for number in range(20)], tmp_path / "got", worker_type="thread"
    )
    assert found == [None] * 20


def test_preconditions_are_raised_as_the_client_raises_them(bucket: Any) -> None:
    """412, 404, 304 and 409 become the client's own exceptions."""
    from google.api_core import exceptions

    blob = bucket.blob("o")
    blob.upload_from_string("1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("o").upload_from_string("2", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=blob.generation + 1)
    with pytest.raises(exceptions.NotModified):
        bucket.blob("o").reload(if_generation_not_match=blob.generation)
    blob.upload_from_string("2", if_generation_match=blob.generation)
    with pytest.raises(exceptions.NotFound, match="No such object"):
        bucket.blob("none").download_as_bytes()
    with pytest.raises(exceptions.NotFound):
        bucket.blob("none").delete()
    with pytest.raises(exceptions.Conflict):
        bucket.delete()
    bucket.delete(force=True)
    with pytest.raises(exceptions.NotFound):
        bucket.reload()


def test_the_samples_for_objects(client: Any, bucket: Any) -> None:
    """Copy, rename, move, compose, rewrite, storage class, holds, metadata, access controls, batch: as documented."""
    source = bucket.blob("a/source")
    source.upload_from_string(b"bytes", content_type="a/b")
    other = client.create_bucket(f"b-{uuid.uuid4().hex[:12]}")
    assert bucket.copy_blob(source, other, "copy", if_generation_match=0).download_as_bytes() == b"bytes"
    assert bucket.rename_blob(bucket.copy_blob(source, bucket, "r1"), "r2").name == "r2"
    assert bucket.move_blob(bucket.blob("r2"), "r3").name == "r3"
    composed = bucket.blob("composed")
    composed.content_type = "c/d"
    composed.compose([source, bucket.blob("r3")])
    assert composed.download_as_bytes() == b"bytesbytes"
    assert (composed.component_count, composed.md5_hash) == (2, None)
    source.update_storage_class("NEARLINE")
    assert source.storage_class == "NEARLINE"
    token, rewritten, size = other.blob("rewritten").rewrite(source)
    assert (token, rewritten, size) == (None, 5, 5)
    source.temporary_hold = True
    source.patch()
    with pytest.raises(Exception, match="hold"):
        source.delete()
    source.temporary_hold = False
    source.metadata = {"color": "red"}
    source.patch()
    assert bucket.get_blob("a/source").metadata == {"color": "red"}
    source.make_public()
    source.acl.user("a@x.y").grant_owner()
    source.acl.save()
    assert {entry["entity"] for entry in bucket.get_blob("a/source").acl} == {"allUsers", "user-a@x.y"}
    assert bucket.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    with client.batch():
        for name in ("r3", "composed"):
            bucket.blob(name).delete()
    assert [blob.name for blob in client.list_blobs(bucket)] == ["a/source"]
    listing = client.list_blobs(bucket, delimiter="/")
    assert ([blob.name for blob in listing], listing.prefixes) == ([], {"a/"})
    packed = bucket.blob("packed")
    packed.content_encoding = "gzip"
    packed.upload_from_string(gzip.compress(b"plain" * 1000))
    assert packed.download_as_bytes() == b"plain" * 1000


def test_archived_generations(client: Any, bucket: Any) -> None:
    """Versioning: list, read, copy back and delete noncurrent generations."""
    bucket.versioning_enabled = True
    bucket.patch()
    blob = bucket.blob("o")
    blob.upload_from_string("1")
    first = blob.generation
    blob.upload_from_string("2")
    listed = [
        (each.generation == first, each.time_deleted is None) for each in client.list_blobs(bucket, versions=True)
    ]
    assert listed == [(True, False), (False, True)]
    assert bucket.blob("o", generation=first).download_as_bytes() == b"1"
    bucket.copy_blob(blob, bucket, "back", source_generation=first)
    assert bucket.blob("back").download_as_bytes() == b"1"
    bucket.delete_blob("o", generation=first)
    assert len(list(client.list_blobs(bucket, versions=True))) == 2


def test_a_thousand_and_one_blobs_are_listed(client: Any, bucket: Any) -> None:
    """More than one page holds."""
    for number in range(1001):
        bucket.blob(f"{number:04}").upload_from_string(b"")
    assert [blob.name for blob in client.list_blobs(bucket)] == [f"{number:04}" for number in range(1001)]


def test_gcsfs_pandas_and_pyarrow(emulated: str) -> None:
    """Files, directories and tables through fsspec's gs://."""
    import gcsfs
    import pandas
    import pyarrow.dataset
    import pyarrow.parquet

    options = {"project": "p", "token": "anon", "endpoint_url": emulated}
    files = gcsfs.GCSFileSystem(**options)
    root = f"b-{uuid.uuid4().hex[:12]}"
    files.mkdir(root)
    data = os.urandom(12 << 20)
    files.pipe(f"{root}/dir/small", b"hey")
    with files.open(f"{root}/large", "wb") as file:
        file.write(data)
    assert (files.cat(f"{root}/dir/small"), files.cat(f"{root}/large")) == (b"hey", data)
    assert files.find(root) == [f"{root}/dir/small", f"{root}/large"]
    assert files.ls(root, detail=False) == [f"{root}/dir", f"{root}/large"]
    assert (files.isdir(f"{root}/dir"), files.exists(f"{root}/none"), files.info(f"{root}/large")["size"]) == (
        True,
        False,
        len(data),
    )
    table = pandas.DataFrame({"a": range(1000), "b": [str(number) for number in range(1000)]})
    table.to_parquet(f"gs://{root}/t/1.parquet", storage_options=options)
    table.to_csv(f"gs://{root}/t.csv", index=False, storage_options=options)
    assert pandas.read_parquet(f"gs://{root}/t/1.parquet", storage_options=options).equals(table)
    assert len(pandas.read_csv(f"gs://{root}/t.csv", storage_options=options)) == 1000
    files.cp(f"{root}/t/1.parquet", f"{root}/t/2.parquet")
    assert pyarrow.dataset.dataset(f"{root}/t", filesystem=files).count_rows() == 2000
    files.mv(f"{root}/t/2.parquet", f"{root}/t/3.parquet")
    files.rm(f"{root}/t", recursive=True)
    assert files.find(root) == [f"{root}/dir/small", f"{root}/large", f"{root}/t.csv"]


def test_the_discovery_client(emulated: str) -> None:
    """google-api-python-client with its bundled document: insert, resumable insert, list, get_media, delete."""
    from google.auth.credentials import AnonymousCredentials
    from googleapiclient.discovery import build
    from googleapiclient.http import MediaIoBaseUpload

    api = build(
        "storage",
        "v1",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"{emulated}/storage/v1/"},
        static_discovery=True,
    )
    api._rootDesc["rootUrl"] = f"{emulated}/"
    name = f"b-{uuid.uuid4().hex[:12]}"
    api.buckets().insert(project="p", body={"name": name}).execute()
    media = MediaIoBaseUpload(io.BytesIO(b"x" * 600_000), "a/b", chunksize=256 * 1024, resumable=True)
    request = api.objects().insert(bucket=name, body={"name": "r"}, media_body=media)
    request.uri = request.resumable_uri = None
    request.uri = f"{emulated}/upload/storage/v1/b/{name}/o?uploadType=resumable&alt=json"
    assert request.execute()["size"] == "600000"
    assert api.objects().list(bucket=name).execute()["items"][0]["name"] == "r"
    assert api.objects().get_media(bucket=name, object="r").execute() == b"x" * 600_000
    api.objects().delete(bucket=name, object="r").execute()


SCRIPT = """
import os, pathlib
print("trained with", os.environ["AIP_MODEL_DIR"], flush=True)
bucket, _, path = os.environ["AIP_MODEL_DIR"].removeprefix("gs://").partition("/")
model = pathlib.Path(os.environ["TRAINYARD_GCS_ROOT"], bucket, path, "model.txt")
model.parent.mkdir(parents=True)
model.write_text("weights")
"""


def test_from_local_script_end_to_end(
    server: Any, emulated: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK packs a script, uploads it here, runs it here, and finds its output here: one server, nothing else."""
    from edge_server import Api
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform
    from google.cloud.aiplatform import jobs

    monkeypatch.setattr(jobs, "_JOB_WAIT_TIME", 0.2, raising=False)
    staging = f"staging-{uuid.uuid4().hex[:8]}"
    aiplatform.init(
        project="p-sdk",
        location="us-central1",
        staging_bucket=f"gs://{staging}",
        api_endpoint=emulated,
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    (tmp_path / "train.py").write_text(SCRIPT)
    job = aiplatform.CustomJob.from_local_script(
        display_name="local script",
        script_path=str(tmp_path / "train.py"),
        container_uri="us-docker.pkg.dev/vertex-ai/training/scikit-learn-cpu.1-0:latest",
        machine_type="n1-standard-4",
        base_output_dir=f"gs://{staging}/out",
    )
    job.run(sync=True)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    api = Api(server.port, "p-sdk")
    logged = api.call("GET", f"/trainyard/v1/{job.resource_name}/logs/workerpool0-0/stdout").body
    api.close()
    assert f"trained with gs://{staging}/out/model/".encode() in logged
    assert client.bucket(staging).blob("out/model/model.txt").download_as_bytes() == b"weights"
