"""Credentials through the eyes of Google's own clients, unmodified, over TLS: REST and gRPC, in and out of a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from edge_server import FINAL, Server

pytestmark = pytest.mark.clients
PARENT = "projects/{}/locations/us-central1"


@dataclass(frozen=True)
class Closed:
    """A service over TLS that asks who calls, and what makes credentials for it."""

    server: Server

    @property
    def endpoint(self) -> str:
        """Its address by name."""
        return f"https://localhost:{self.server.port}"

    def tokens(self, *arguments: str) -> str:
        """`trainyard tokens …` on its data directory, while it runs."""
        command = [sys.executable, "-m", "trainyard", "tokens", *arguments, "--data-dir", str(self.server.data_dir)]
        if arguments[0] == "create":
            command += ["--endpoint", self.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def account(self, directory: Path, name: str, *arguments: str) -> Path:
        """A key file."""
        path = directory / f"{name}.json"
        self.tokens("create", name, "--as", "service-account", "--out", str(path), *arguments)
        return path

    def audit(self) -> list[dict[str, str]]:
        """Every line of the audit log."""
        return [json.loads(line) for line in (self.server.data_dir / "audit.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """One service for this file; what it says on stderr is looked at when it has ended."""
    with Server(tmp_path_factory.mktemp("closed") / "data", "--auth", "--tls") as server:
        yield Closed(server)
        server.stop()
        assert "Traceback" not in server.stderr()


@pytest.fixture(autouse=True)
def trust(closed: Closed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user exports."""
    authority = str(closed.server.data_dir / "tls" / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", authority)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


def client(closed: Closed, transport: str, key_file: Path | None = None, version: str = "v1", **options: Any) -> Any:
    """JobServiceClient with a key file, as its documentation makes one."""
    from google.cloud import aiplatform_v1, aiplatform_v1beta1

    module: Any = {"v1": aiplatform_v1, "v1beta1": aiplatform_v1beta1}[version]
    endpoint = closed.endpoint if transport == "rest" else closed.endpoint.removeprefix("https://")
    options = {"api_endpoint": endpoint, **options}
    if key_file is None:
        return module.JobServiceClient(transport=transport, client_options=options)
    make = module.JobServiceClient.from_service_account_file
    return make(str(key_file), transport=transport, client_options=options)


def a_job(*command: str, **env: str) -> dict[str, Any]:
    variables = [{"name": name, "value": value} for name, value in env.items()]
    container = {"image_uri": "host", "command": list(command), "env": variables}
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}
    return {"display_name": "c", "job_spec": {"worker_pool_specs": [pool]}}


def ended(jobs: Any, name: str) -> Any:
    deadline = time.monotonic() + 60
    while (job := jobs.get_custom_job(name=name)).state.name not in FINAL:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return job


def output(closed: Closed, name: str) -> str:
    (path,) = (closed.server.data_dir / "logs" / name.rpartition("/")[2]).glob("*/stdout")
    return path.read_text()


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_a_key_file_of_ours_is_enough(
    closed: Closed, tmp_path: Path, project: str, transport: str, version: str
) -> None:
    """The stock client signs its own JWTs: a job runs, and only where the account may; revoked, it is out at once."""
    from google.api_core import exceptions

    key_file = closed.account(tmp_path, f"u{project[2:]}", "--project", project)
    jobs = client(closed, transport, key_file, version)
    job = jobs.create_custom_job(parent=PARENT.format(project), custom_job=a_job("true"))
    assert ended(jobs, job.name).state.name == "JOB_STATE_SUCCEEDED"
    assert [each.name for each in jobs.list_custom_jobs(parent=PARENT.format(project))] == [job.name]
    with pytest.raises((exceptions.PermissionDenied, exceptions.Forbidden)) as refused:
        jobs.list_custom_jobs(parent=PARENT.format("p-other"))
    assert refused.value.reason == "IAM_PERMISSION_DENIED"
    assert "Permission 'aiplatform.customJobs.list' denied on resource" in refused.value.message
    jobs.delete_custom_job(name=job.name).result(timeout=30)
    last = closed.audit()[-1]
    email = json.loads(key_file.read_text())["client_email"]
    assert (last["who"], last["what"], last["result"]) == (email, "customJobs.delete", "OK")
    assert last["address"].startswith(("127.0.0.1:", "[::1]:"))
    closed.tokens("revoke", f"u{project[2:]}")
    with pytest.raises((exceptions.Unauthenticated, exceptions.Unauthorized)):
        jobs.list_custom_jobs(parent=PARENT.format(project))


def test_the_high_level_sdk_over_its_default_transport(closed: Closed, tmp_path: Path, project: str) -> None:
    """`aiplatform.init(api_endpoint=…)` and Application Default Credentials, nothing else: gRPC over TLS."""
    script = (
        "from google.cloud import aiplatform\n"
        f"aiplatform.init(project={project!r}, location='us-central1', staging_bucket='gs://stg',"
        f" api_endpoint='localhost:{closed.server.port}')\n"
        "from google.cloud.aiplatform import jobs; jobs._JOB_WAIT_TIME = 0.1\n"
        "pool = {'machine_spec': {'machine_type': 'n1-standard-4'}, 'replica_count': 1,"
        " 'container_spec': {'image_uri': 'host', 'command': ['true']}}\n"
        "job = aiplatform.CustomJob(display_name='adc', worker_pool_specs=[pool])\n"
        "job.run()\n"
        "print(job.state.name, len(aiplatform.CustomJob.list()))\n"
    )
    key_file = closed.account(tmp_path, f"s{project[2:]}", "--project", project)
    environment = {**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("JOB_STATE_SUCCEEDED 1"), done.stderr


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_viewers_look_and_see_no_secret(closed: Closed, tmp_path: Path, project: str, transport: str) -> None:
    """A viewer reads jobs with their environment hidden, and changes nothing."""
    from google.api_core import exceptions

    keys = tmp_path
    uma = client(closed, transport, closed.account(keys, f"a{project[2:]}", "--project", project))
    vic = client(closed, transport, closed.account(keys, f"v{project[2:]}", "--project", project, "--role", "viewer"))
    parent = PARENT.format(project)
    job = uma.create_custom_job(parent=parent, custom_job=a_job("true", PASSWORD="hunter2-hunter2"))
    for seen in (vic.get_custom_job(name=job.name), *vic.list_custom_jobs(parent=parent)):
        assert "hunter2" not in str(seen)
        (variable,) = seen.job_spec.worker_pool_specs[0].container_spec.env
        assert variable.name == "PASSWORD"
    assert "hunter2" in str(uma.get_custom_job(name=job.name))
    for refused in (
        lambda: vic.create_custom_job(parent=parent, custom_job=a_job("true")),
        lambda: vic.cancel_custom_job(name=job.name),
        lambda: vic.delete_custom_job(name=job.name),
    ):
        with pytest.raises((exceptions.PermissionDenied, exceptions.Forbidden)):
            refused()
    if transport == "grpc":  # the REST client knows no path for it that custom jobs have
        asked = ["aiplatform.customJobs.get", "aiplatform.customJobs.create"]
        had = [each.test_iam_permissions({"resource": parent, "permissions": asked}) for each in (uma, vic)]
        assert [list(each.permissions) for each in had] == [asked, asked[:1]]
    ended(uma, job.name)
    data = closed.server.data_dir
    logs = [data / "audit.log", *data.glob("*.log"), *(data / "logs").rglob("*")]
    assert not any(b"hunter2" in path.read_bytes() for path in logs if path.is_file())
    assert "hunter2" not in closed.server.stderr()


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_an_api_key_gets_in(closed: Closed, project: str, transport: str) -> None:
    """The client's `api_key` option over either transport; a key that nobody has is told as the original tells it."""
    from google.api_core import exceptions

    key = closed.tokens("create", f"k{transport}", "--as", "api-key", "--project", project)
    assert list(client(closed, transport, api_key=key).list_custom_jobs(parent=PARENT.format(project))) == []
    with pytest.raises((exceptions.BadRequest, exceptions.InvalidArgument), match="API key not valid") as refused:
        client(closed, transport, api_key="wrong").list_custom_jobs(parent=PARENT.format(project))
    assert refused.value.reason == "API_KEY_INVALID"


def test_a_client_that_fetches_its_token(closed: Closed, tmp_path: Path, project: str) -> None:
    """google-auth's own exchange at the key file's token_uri, as google-cloud-storage does it; then a bearer token."""
    from google.auth.transport.requests import AuthorizedSession
    from google.oauth2 import service_account

    scope = "https://www.googleapis.com/auth/cloud-platform"
    path = closed.account(tmp_path, f"f{project[2:]}", "--project", project)
    made = service_account.Credentials.from_service_account_file(str(path), scopes=[scope])
    session = AuthorizedSession(made)
    url = f"{closed.endpoint}/v1/{PARENT.format(project)}/customJobs"
    assert session.get(url).status_code == 200
    assert made.token.startswith("tyt_")
    assert session.get(url.replace(project, "p-other")).status_code == 403


def test_google_cloud_storage_with_a_key_file(closed: Closed, tmp_path: Path, project: str) -> None:
    """Objects go in and out; a viewer only reads."""
    from google.api_core import exceptions
    from google.cloud import storage
    from google.oauth2 import service_account

    def opened(name: str, *arguments: str) -> Any:
        path = closed.account(tmp_path, name, "--project", project, *arguments)
        credentials = service_account.Credentials.from_service_account_file(str(path))
        return storage.Client(project, credentials, client_options={"api_endpoint": closed.endpoint})

    uma, vic = opened(f"g{project[2:]}"), opened(f"h{project[2:]}", "--role", "viewer")
    bucket = uma.create_bucket(f"b-{project}")
    bucket.blob("a/b.txt").upload_from_string("hello")
    assert vic.bucket(bucket.name).blob("a/b.txt").download_as_text() == "hello"
    with pytest.raises(exceptions.Forbidden):
        vic.bucket(bucket.name).blob("c").upload_from_string("no")
    with pytest.raises(exceptions.Forbidden):
        vic.bucket(bucket.name).blob("a/b.txt").delete()
    writes = [(each["what"], each["result"]) for each in closed.audit() if bucket.name in each["resource"]]
    assert ("storage.objects.create", "OK") in writes
    assert ("storage.objects.create", "PERMISSION_DENIED") in writes


FINDS = """
import google.auth, google.auth.transport.requests as t
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
session = t.AuthorizedSession(credentials)
import os
answer = session.get(f"{os.environ['SERVICE']}/v1/projects/{project}/locations/us-central1/customJobs")
count = len(answer.json()["customJobs"])
print(type(credentials).__module__, credentials.service_account_email, project, answer.status_code, count)
print(session.get(f"{os.environ['SERVICE']}/v1/projects/p-other/locations/us-central1/customJobs").status_code)
print(os.environ["GCE_METADATA_HOST"])
"""


def test_replicas_find_default_credentials(closed: Closed, tmp_path: Path, project: str) -> None:
    """`google.auth.default()` in a job: credentials of its own, good in its project while it runs, and no longer."""
    jobs = client(closed, "rest", closed.account(tmp_path, f"m{project[2:]}", "--project", project))
    body = a_job(sys.executable, "-c", FINDS, SERVICE=closed.endpoint)
    job = jobs.create_custom_job(parent=PARENT.format(project), custom_job=body)
    assert ended(jobs, job.name).state.name == "JOB_STATE_SUCCEEDED", output(closed, job.name)
    found, other, address = output(closed, job.name).splitlines()
    number, job_id = job.name.split("/")[1], job.name.rpartition("/")[2]
    module, email = "google.auth.compute_engine.credentials", f"job-{job_id}@{number}.trainyard.internal"
    assert found == f"{module} {email} {number} 200 1"
    assert other == "403"
    import requests

    asked = f"http://{address}/computeMetadata/v1/instance/service-accounts/default/token"
    assert requests.get(asked, headers={"Metadata-Flavor": "Google"}, timeout=60).status_code == 404


def test_replicas_of_an_open_service_find_them_too(server: Server, api: Any) -> None:
    """Without --auth and TLS the same program runs as it is."""
    variables = [{"name": "SERVICE", "value": f"http://127.0.0.1:{server.port}"}]
    container = {"imageUri": "host", "command": [sys.executable, "-c", FINDS], "env": variables}
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": container}
    job = api.made({"displayName": "t", "jobSpec": {"workerPoolSpecs": [pool]}})
    assert api.wait(job["name"], seconds=60)["state"] == "JOB_STATE_SUCCEEDED"


WRITES = """
import os
from google.cloud import storage
import gcsfs

bucket, _, prefix = os.environ["AIP_MODEL_DIR"].removeprefix("gs://").partition("/")
storage.Client().bucket(bucket).blob(prefix + "by-client").upload_from_string("weights")
print(gcsfs.GCSFileSystem().cat(f"{bucket}/{prefix}by-client").decode())
"""


def test_replicas_write_to_their_directories_by_name(closed: Closed, tmp_path: Path, project: str) -> None:
    """google-cloud-storage and gcsfs in a job, as they are: gs:// is this service, with the run's own credentials."""
    jobs = client(closed, "rest", closed.account(tmp_path, f"w{project[2:]}", "--project", project))
    body = a_job(sys.executable, "-c", WRITES)
    body["job_spec"]["base_output_directory"] = {"output_uri_prefix": f"gs://out-{project}/run"}
    job = jobs.create_custom_job(parent=PARENT.format(project), custom_job=body)
    assert ended(jobs, job.name).state.name == "JOB_STATE_SUCCEEDED", output(closed, job.name)
    assert output(closed, job.name) == "weights\n"
    written = closed.server.data_dir / "buckets" / f"out-{project}" / "run" / "model" / "by-client"
    assert written.read_text() == "weights"


def test_replicas_of_an_open_service_write_by_name(server: Server, api: Any) -> None:
    """There also by pyarrow's own file system, which takes no credentials to an endpoint of its own."""
    more = 'from pyarrow.fs import FileSystem; fs, path = FileSystem.from_uri(os.environ["AIP_MODEL_DIR"])\n'
    more += 'print(fs.open_input_stream(path + "/by-client").read().decode())'
    container = {"imageUri": "host", "command": [sys.executable, "-c", f"{WRITES}{more}"]}
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": container}
    spec = {"workerPoolSpecs": [pool], "baseOutputDirectory": {"outputUriPrefix": "gs://out-open/run"}}
    job = api.made({"displayName": "t", "jobSpec": spec})
    assert api.wait(job["name"], seconds=60)["state"] == "JOB_STATE_SUCCEEDED"
    logged = api.call("GET", f"/trainyard/v1/{job['name']}/logs/workerpool0-0/stdout").body
    assert logged == b"weights\nweights\n"


def test_clear_text_is_refused_with_a_sentence(closed: Closed) -> None:
    """A client that forgot the s hears what to do, whatever it asks for; a bearer token does not help it."""
    import requests

    for path in ("/v1/projects/p/locations/us-central1/customJobs", "/storage/v1/b", "/token", "/trainyard/v1/health"):
        answer = requests.get(f"http://localhost:{closed.server.port}{path}", timeout=60)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert "https://" in answer.json()["error"]["message"]
