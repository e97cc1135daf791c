"""What a job with a key writes to gs://: unreadable at rest once it has ended, and to clients as if nothing were."""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server, restarted, running, until
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from nas_requests import made, nas, reporting
from test_encryption import readable
from test_run_metrics import record

SECRET = "s3cr3t-weights"
RING = "projects/p1/locations/us-central1/keyRings/team/cryptoKeys"
KEY = f"{RING}/training"
AT = 'at=$TRAINYARD_GCS_ROOT; [ -d /gcs ] && at=/gcs; model=$at/${AIP_MODEL_DIR#gs://}; mkdir -p "$model";'


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, Api]]:
    """A server with the key, and its client."""
    with Server(tmp_path / "data", "--replicas", "8") as server:
        api = Api(server.port)
        new_key(api, "training")
        yield server, api
        api.close()


def new_key(api: Api, name: str) -> None:
    """One more key."""
    assert api.call("POST", f"/trainyard/v1/{RING}", {"cryptoKeyId": name}).status == 200


def do(api: Api, verb: str, key: str = KEY) -> None:
    """Disable, enable, rotate or destroy the key."""
    answer = api.call("POST", f"/trainyard/v1/{key}:{verb}", {"confirm": key} if verb == "destroy" else {})
    assert answer.status == 200, answer.body


def writing(script: str, output: str = "gs://b/out", key: str = KEY, **changes: Any) -> dict[str, Any]:
    """A job whose program finds the directory of its model as $model."""
    spec = {"baseOutputDirectory": {"outputUriPrefix": output}}
    named = {"encryptionSpec": {"kmsKeyName": key}} if key else {}
    return running("sh", "-c", f"{AT} {script}", job_spec=spec, **named, **changes)


def ended(api: Api, job: dict[str, Any], state: str = "JOB_STATE_SUCCEEDED") -> str:
    """The name of the job, which has ended as it should."""
    name: str = api.made(job)["name"]
    found = api.wait(name)
    assert found["state"] == state, found.get("error")
    return name


def sealed(api: Api, key: str = KEY) -> bool:
    """Whether nothing of any job is in the clear any more."""
    return bool(api.get(f"/trainyard/v1/{key}").json["openJobs"] == 0)


def client_of(server: Server) -> storage.Client:
    """The official client."""
    address = f"http://127.0.0.1:{server.port}"
    return storage.Client("p1", AnonymousCredentials(), client_options=ClientOptions(api_endpoint=address))


MANY = f'for i in $(seq 60); do (printf {SECRET}-$i; head -c 200000 /dev/zero) > "$model/$i"; done'
WRITES = f'printf {SECRET} > "$model/w.bin"; head -c 300000 /dev/zero | tr "\\\\0" x > "$model/big"; '


def test_outputs_cannot_be_read_at_rest_and_clients_see_no_difference(served: tuple[Server, Api]) -> None:
    """The official client reads, lists, ranges, copies and composes them as it did before they were sealed."""
    server, api = served
    before = server.data_dir / "buckets" / "b" / "out" / "model" / "of-others"
    before.parent.mkdir(parents=True)
    before.write_text("it lay here before")
    name = api.made(writing(f'{WRITES} while [ ! -e "$model/go" ]; do sleep 0.05; done'))["name"]
    file = before.with_name("w.bin")
    until(lambda: file.exists() and before.with_name("big").exists() and before.with_name("big").stat().st_size > 1)
    bucket = client_of(server).bucket("b")
    first = bucket.get_blob("out/model/w.bin")
    first.metadata = {"who": "me"}
    first.patch()
    before.with_name("go").touch()
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET) == []
    assert before.read_text() == "it lay here before"
    blob = bucket.get_blob("out/model/w.bin")
    seen = ("generation", "metageneration", "size", "crc32c", "md5_hash", "metadata", "updated", "time_created")
    assert {each: getattr(blob, each) for each in seen} == {each: getattr(first, each) for each in seen}
    assert blob.md5_hash == base64.b64encode(hashlib.md5(SECRET.encode()).digest()).decode()
    assert blob.download_as_bytes() == SECRET.encode()
    assert bucket.blob("out/model/big").download_as_bytes(start=65530, end=65545) == b"x" * 16
    sizes = {each.name: each.size for each in client_of(server).list_blobs("b", prefix="out/model/")}
    assert sizes == {"out/model/big": 300000, "out/model/go": 0, "out/model/of-others": 18, "out/model/w.bin": 14}
    whole = bucket.blob("whole")
    whole.compose([blob, bucket.blob("out/model/w.bin")])
    assert whole.download_as_bytes() == SECRET.encode() * 2
    copied = bucket.copy_blob(blob, bucket, "copied")
    assert copied.download_as_bytes() == SECRET.encode()
    assert (server.data_dir / "buckets" / "b" / "copied").read_text() == SECRET  # a copy has no key, as documented
    blob.upload_from_string(b"new")
    assert file.read_bytes() == b"new"
    bucket.blob("out/model/big").delete()
    assert not before.with_name("big").exists()


def test_without_the_key_outputs_are_listed_and_not_read(served: tuple[Server, Api]) -> None:
    """Disabled: the sentence says which key; enabled: back; rotated: the same; destroyed: gone for good."""
    server, api = served
    ended(api, writing(WRITES))
    until(lambda: sealed(api))
    bucket = client_of(server).bucket("b")
    do(api, "disable")
    blob = bucket.get_blob("out/model/w.bin")
    assert blob.size == 14
    with pytest.raises(BadRequest, match=r"is disabled\. Enable it: trainyard keys enable team/training"):
        blob.download_as_bytes()
    answer = api.call("POST", "/storage/v1/b/b/o/out%2Fmodel%2Fw.bin/copyTo/b/b/o/copy", {})
    assert (answer.status, answer.json["error"]["errors"][0]["reason"]) == (400, "cloudKmsDisabledKey")
    do(api, "enable")
    do(api, "rotate")
    restarted(server, api)
    bucket = client_of(server).bucket("b")
    assert bucket.blob("out/model/w.bin").download_as_bytes() == SECRET.encode()
    do(api, "destroy")
    for again in range(2):
        with pytest.raises(BadRequest, match="is destroyed"):
            bucket.blob("out/model/w.bin").download_as_bytes()
        assert [each.size for each in bucket.list_blobs(prefix="out/")] == [300000, 14], again
        restarted(server, api)
        bucket = client_of(server).bucket("b")


def test_a_deleted_job_leaves_its_outputs_readable(served: tuple[Server, Api]) -> None:
    """As in the original; also where it is deleted before they are sealed, and over a restart."""
    server, api = served
    for directory in ("one", "two"):
        name = ended(api, writing(WRITES, f"gs://b/{directory}"))
        if directory == "one":
            until(lambda: sealed(api))
        assert api.call("DELETE", name).status == 200
    until(lambda: sealed(api) and api.get(f"/trainyard/v1/{KEY}").json["jobs"] == 0)
    assert readable(server.data_dir, SECRET) == []
    restarted(server, api)
    for directory in ("one", "two"):
        blob = client_of(server).bucket("b").blob(f"{directory}/model/w.bin")
        assert blob.download_as_bytes() == SECRET.encode()
    do(api, "destroy")
    with pytest.raises(BadRequest, match="is destroyed"):
        client_of(server).bucket("b").blob("one/model/w.bin").download_as_bytes()


def test_a_job_under_the_same_key_goes_on_from_a_checkpoint(served: tuple[Server, Api]) -> None:
    """It finds in the clear, by its path, what the one before has left; another key finds sealed bytes, and is told."""
    server, api = served
    ended(api, writing(WRITES))
    until(lambda: sealed(api))
    generation = client_of(server).bucket("b").get_blob("out/model/w.bin").generation
    new_key(api, "other")
    other = ended(api, writing(f'! grep -q {SECRET} "$model/w.bin"', key=f"{RING}/other"))
    told = str(api.get(f"/trainyard/v1/{other}/logs?task=service").json)
    assert "2 object(s) below gs://b/out/ are sealed under another key" in told
    again = f'[ "$(cat "$model/w.bin")" = {SECRET} ] && printf {SECRET}-2 > "$model/w2.bin"'
    ended(api, writing(again))
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET) == []
    bucket = client_of(server).bucket("b")
    assert bucket.get_blob("out/model/w.bin").generation == generation
    assert bucket.blob("out/model/w.bin").download_as_bytes() == SECRET.encode()
    assert bucket.blob("out/model/w2.bin").download_as_bytes() == f"{SECRET}-2".encode()


def test_nothing_is_sealed_under_a_running_program(served: tuple[Server, Api]) -> None:
    """While another job may write below the same directory, sealing waits; then it goes on by itself."""
    server, api = served
    going = 'while [ ! -e "$model/go" ]; do sleep 0.05; done; grep -q s3cr3t"-"weights "$model/w.bin"'
    other = api.made(writing(going, key=""))["name"]
    api.wait(other, {"JOB_STATE_RUNNING"})
    ended(api, writing(WRITES))
    until(lambda: api.get(f"/trainyard/v1/{KEY}").json["openJobs"] == 1)
    time.sleep(2)  # several looks of who seals
    model = server.data_dir / "buckets" / "b" / "out" / "model"
    assert (model / "w.bin").read_text() == SECRET
    (model / "go").touch()
    assert api.wait(other)["state"] == "JOB_STATE_SUCCEEDED"
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET) == []


def test_noncurrent_generations_of_a_job_are_sealed(served: tuple[Server, Api]) -> None:
    """In a versioned bucket, what the job replaced of its own; what lay there before stays plain."""
    server, api = served
    bucket = client_of(server).bucket("b")
    bucket.versioning_enabled = True
    bucket.patch()
    bucket.blob("out/o").upload_from_string("from before")
    address = f"http://127.0.0.1:{server.port}/upload/storage/v1/b/b/o?uploadType=media&name=out/o"
    post = "import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[1], sys.argv[2].encode(), method='POST'))"
    upload = "; ".join(f'{sys.executable} -c "{post}" "{address}" {SECRET}-{n}' for n in (1, 2))
    ended(api, writing(upload))
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET) == []
    found = [each for each in bucket.list_blobs(versions=True) if each.name == "out/o"]
    read = [bucket.blob("out/o", generation=each.generation).download_as_bytes() for each in found]
    assert read == [b"from before", f"{SECRET}-1".encode(), f"{SECRET}-2".encode()]
    assert readable(server.data_dir / "objects" / "versions", "from before") != []
    do(api, "disable")
    with pytest.raises(BadRequest, match="is disabled"):
        bucket.blob("out/o", generation=found[1].generation).download_as_bytes()


def test_a_destroyed_key_takes_the_outputs_of_running_jobs_along(served: tuple[Server, Api]) -> None:
    """They cannot be sealed any more, and do not stay in the clear; what lay there before stays."""
    server, api = served
    before = server.data_dir / "buckets" / "b" / "out" / "model" / "of-others"
    before.parent.mkdir(parents=True)
    before.write_text("it lay here before")
    name = api.made(writing(f"{WRITES} exec sleep 300"))["name"]
    until(before.with_name("w.bin").exists)
    do(api, "destroy")
    assert api.wait(name)["state"] == "JOB_STATE_FAILED"
    until(lambda: sealed(api))
    assert [path.name for path in before.parent.iterdir()] == ["of-others"]
    assert readable(server.data_dir, SECRET) == []


def test_metrics_of_a_sealed_job_are_read_while_the_key_is_there(served: tuple[Server, Api], tmp_path: Path) -> None:
    """The event files are sealed as all outputs are; nothing of them is kept elsewhere in the clear."""
    server, api = served
    events = tmp_path / "events"
    events.write_bytes(b"".join(record("very-s3cr3t-loss", step, 1 / (1 + step)) for step in range(50)))
    copy = (
        f'logs=$at/${{AIP_TENSORBOARD_LOG_DIR#gs://}}; mkdir -p $logs; cp {events} "$logs/events.out.tfevents.1.host"'
    )
    name = ended(api, writing(copy))
    until(lambda: sealed(api))
    told = api.get(f"/trainyard/v1/{name}:metrics").json
    assert [(one["tag"], one["count"]) for one in told["series"]] == [("very-s3cr3t-loss", 50)]
    assert readable(server.data_dir, "very-s3cr3t-loss") == []
    do(api, "disable")
    answer = api.get(f"/trainyard/v1/{name}:metrics")
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    assert "is disabled" in answer.error["message"]


def test_outputs_of_trials_are_sealed(served: tuple[Server, Api]) -> None:
    """Each below its own directory, by one data key of their search, which stays when the search is deleted."""
    server, api = served
    search = nas(f'{AT} printf s3cr3t"-"weights > "$model/w"; {reporting()}', encryptionSpec={"kmsKeyName": KEY})
    trial = search["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    trial["baseOutputDirectory"] = {"outputUriPrefix": "gs://b/search"}
    name = made(api, search)["name"]
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    until(lambda: sealed(api))
    assert readable(server.data_dir / "buckets", SECRET) == []
    assert api.get(f"/trainyard/v1/{KEY}").json["outputs"] == 1
    assert api.call("DELETE", name).status == 200
    until(lambda: api.get(f"/trainyard/v1/{KEY}").json["jobs"] == 0)
    written = [each for each in client_of(server).list_blobs("b", prefix="search/") if each.name.endswith("/model/w")]
    assert len(written) == 3
    assert {each.download_as_bytes() for each in written} == {SECRET.encode()}


@pytest.mark.parametrize("after_seconds", [0.02, 0.1, 0.3])
def test_a_server_killed_while_it_opens_outputs_opens_them_later(
    served: tuple[Server, Api], after_seconds: float
) -> None:
    """The program starts once, and finds every checkpoint; at its end all are sealed, the same objects as before."""
    server, api = served
    ended(api, writing(MANY))
    until(lambda: sealed(api))
    bucket = client_of(server).bucket("b")
    known = {each.name: each.generation for each in bucket.list_blobs()}
    found = f'[ "$(grep -l {SECRET} "$model"/* | wc -l)" = 60 ] && echo once >> "$at/b/starts"'
    name = api.made(writing(found))["name"]
    time.sleep(after_seconds)
    restarted(server, api)
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET) == []
    assert (server.data_dir / "buckets" / "b" / "starts").read_text() == "once\n"
    assert {each.name: each.generation for each in client_of(server).list_blobs("b", prefix="out/")} == known


@pytest.mark.parametrize("after_seconds", [0.0, 0.2, 0.5, 0.8, 1.2])
def test_a_server_killed_while_it_seals_outputs_seals_them_later(
    served: tuple[Server, Api], after_seconds: float
) -> None:
    """At whatever point: each object is the same one, whole, and nothing of it is left in the clear."""
    server, api = served
    ended(api, writing(MANY))
    bucket = client_of(server).bucket("b")
    known = {each.name: each.generation for each in bucket.list_blobs()}
    assert len(known) == 60
    time.sleep(after_seconds)
    restarted(server, api)
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET) == []
    bucket = client_of(server).bucket("b")
    assert {each.name: each.generation for each in bucket.list_blobs()} == known
    for number in (1, 30, 60):
        content = bucket.blob(f"out/model/{number}").download_as_bytes()
        assert content == f"{SECRET}-{number}".encode() + bytes(200000)
