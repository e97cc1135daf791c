"""A job's serviceAccount is who its programs are: by the metadata server, at gs://, in the API and in the audit log."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from edge_server import Answer, Api, Server, pool, pools
from nas_requests import nas, spec
from shell_client import ASKS as ASKS_FOR_SHELL
from shell_client import WAITS as WAITS_FOR_EVER
from shell_client import ShellClient, path_of

FINDS = """
import json, os, urllib.error, urllib.request

def ask(url, data=None, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

root = "http://" + os.environ["GCE_METADATA_HOST"] + "/computeMetadata/v1/instance/service-accounts/"
asked = {"Metadata-Flavor": "Google"}
email = ask(root + "default/email", **asked)[1]
token = json.loads(ask(root + email + "/token", **asked)[1])["access_token"]
mine = {"Authorization": "Bearer " + token}
service = "http://" + os.environ["GCE_METADATA_HOST"].partition("/")[0]
jobs = f"{service}/v1/{os.environ['PARENT']}/customJobs"
"""
ASKS = (
    FINDS
    + """
put = [
    ask(f"{service}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=x", b"hello", **mine)[0]
    for bucket in os.environ["BUCKETS"].split()
]
print(json.dumps([email, put, ask(jobs, **mine)[0]]))
"""
)
WAITS = (
    FINDS
    + """
import pathlib, time
print(ask(jobs, **mine)[0], flush=True)
while not pathlib.Path(os.environ["BUCKETS"]).exists():
    time.sleep(0.02)
print(ask(jobs, **mine)[0])
"""
)


class Closed:
    """A service that asks who calls, and what makes credentials for it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.owner = self.tokens("create", "olga", "--role", "admin")

    def tokens(self, *arguments: str) -> str:
        """`trainyard tokens …` on its data directory, while it runs."""
        command = [sys.executable, "-m", "trainyard", "tokens", *arguments, "--data-dir", str(self.server.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def account(self, name: str, *arguments: str) -> str:
        """The e-mail of an account that there is from now on."""
        return str(json.loads(self.tokens("create", name, "--as", "service-account", *arguments))["client_email"])

    def call(
        self, method: str, path: str, token: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A request with a bearer token."""
        api = Api(self.server.port)
        try:
            return api.call(method, path, body, {"Authorization": f"Bearer {token}", **(headers or {})})
        finally:
            api.close()

    def ended(self, name: str) -> Any:
        """The job, once it has ended."""
        return waited(lambda: self.call("GET", f"/v1/{name}", self.owner).json)

    def audit(self) -> list[dict[str, str]]:
        """Every line of the audit log."""
        return [json.loads(line) for line in (self.server.data_dir / "audit.log").read_text().splitlines()]


def waited(look: Any, what: str = "") -> Any:
    """What `look` shows when the job has ended, or has that field."""
    deadline = time.monotonic() + 60
    while not (what in (job := look()) or job["state"].endswith(("SUCCEEDED", "FAILED", "CANCELLED"))):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """One service for this file; what it says on stderr is looked at when it has ended."""
    with Server(tmp_path_factory.mktemp("closed") / "data", "--auth", "--missing-buckets=never") as server:
        yield Closed(server)
        server.stop()
        assert "Traceback" not in server.stderr()


def parent(project: str) -> str:
    return f"projects/{project}/locations/us-central1"


def asking(project: str, buckets: str, program: str = ASKS, **job_spec: Any) -> dict[str, Any]:
    """A job whose program says who it is, and what it may."""
    variables = [{"name": "BUCKETS", "value": buckets}, {"name": "PARENT", "value": parent(project)}]
    container = {"imageUri": "host", "command": [sys.executable, "-c", program], "env": variables}
    return pools(pool(containerSpec=container), **job_spec)


def output(server: Server, name: str) -> str:
    (path,) = (server.data_dir / "logs" / name.rpartition("/")[2]).glob("*/stdout")
    return path.read_text()


def test_programs_have_the_rights_of_their_account(closed: Closed, project: str) -> None:
    """Where the account has the role it writes, elsewhere it gets 403, whatever the caller may; the audit knows it."""
    email = closed.account(f"t{project[2:]}", "--project", project)
    for bucket, owner in ((f"in-{project}", project), (f"out-{project}", "p-other")):
        assert closed.call("POST", f"/storage/v1/b?project={owner}", closed.owner, {"name": bucket}).status == 200
    body = asking(project, f"in-{project} out-{project}", serviceAccount=email)
    made = closed.call("POST", f"/v1/{parent(project)}/customJobs", closed.owner, body)
    assert made.json["jobSpec"]["serviceAccount"] == email
    assert closed.ended(made.json["name"])["state"] == "JOB_STATE_SUCCEEDED", output(closed.server, made.json["name"])
    assert json.loads(output(closed.server, made.json["name"])) == [email, [200, 403], 200]
    writes = [(each["resource"], each["result"]) for each in closed.audit() if each["who"] == email]
    assert writes == [(f"b/in-{project}/o/x", "OK"), (f"b/out-{project}/o/x", "PERMISSION_DENIED")]


ASKS_AS_GOOGLES_CLIENTS_DO = """
import os, google.auth, google.auth.transport.requests
found, _ = google.auth.default()
found._set_blocking_regional_access_boundary_lookup()  # instead of in a thread, some time
session = google.auth.transport.requests.AuthorizedSession(found)
service = "http://" + os.environ["GCE_METADATA_HOST"].partition("/")[0]
print(session.get(f"{service}/v1/{os.environ['PARENT']}/customJobs").status_code, found.service_account_email)
"""


@pytest.mark.parametrize("hooked", [True, False])
def test_google_is_not_asked_about_our_accounts(closed: Closed, project: str, hooked: bool) -> None:
    """google-auth would show Google the account's token, to hear where it may go; a job's own PYTHONPATH is kept."""
    email = closed.account(f"g{project[2:]}{hooked:d}", "--project", project)
    with Proxy() as proxy:
        body = asking(project, "", ASKS_AS_GOOGLES_CLIENTS_DO, serviceAccount=email)
        variables = body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["env"]
        variables += [{"name": "HTTPS_PROXY", "value": f"http://127.0.0.1:{proxy.port}"}]
        variables += [] if hooked else [{"name": "PYTHONPATH", "value": "/nowhere"}]
        made = closed.call("POST", f"/v1/{parent(project)}/customJobs", closed.owner, body)
        job = closed.ended(made.json["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    assert output(closed.server, job["name"]) == f"200 {email}\n"
    assert set(proxy.asked) == (set() if hooked else {"iamcredentials.googleapis.com:443"})


class Proxy(threading.Thread):
    """A proxy that lets nobody through, and knows which hosts it was asked for."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join()
        self.listener.close()

    def run(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                caller, _ = self.listener.accept()
                with caller:
                    self.asked.append(caller.recv(4096).split()[1].decode())
                    caller.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def test_a_policy_of_a_bucket_counts_for_it(closed: Closed, project: str) -> None:
    """A viewer's programs write where the bucket's policy lets the account, and nowhere else."""
    email = closed.account(f"v{project[2:]}", "--project", project, "--role", "viewer")
    for bucket in (f"a-{project}", f"b-{project}"):
        assert closed.call("POST", f"/storage/v1/b?project={project}", closed.owner, {"name": bucket}).status == 200
    policy = {"bindings": [{"role": "roles/storage.objectUser", "members": [f"serviceAccount:{email}"]}]}
    assert closed.call("PUT", f"/storage/v1/b/a-{project}/iam", closed.owner, policy).status == 200
    body = asking(project, f"a-{project} b-{project}", serviceAccount=email)
    made = closed.call("POST", f"/v1/{parent(project)}/customJobs", closed.owner, body)
    closed.ended(made.json["name"])
    assert json.loads(output(closed.server, made.json["name"])) == [email, [200, 403], 200]


def test_who_may_not_act_as_it_is_refused(closed: Closed, project: str) -> None:
    """In the original's words, for an account with more rights, and for one that does not exist; --actor lets in."""
    email = closed.account(f"x{project[2:]}", "--project", project, "--role", "admin", "--actor", f"n{project[2:]}")
    plain = closed.tokens("create", f"u{project[2:]}", "--project", project)
    named = closed.tokens("create", f"n{project[2:]}", "--project", project)
    path = f"/v1/{parent(project)}/customJobs"
    for wrong in (email, f"nobody@{project}.iam.gserviceaccount.com"):
        answer = closed.call("POST", path, plain, asking(project, "", "", serviceAccount=wrong))
        assert (answer.status, answer.error["status"]) == (403, "PERMISSION_DENIED")
        words = f"You do not have permission to act as service_account: {wrong}. (or it may not exist)."
        assert answer.error["message"].startswith(words)
        (detail,) = [each for each in answer.error["details"] if each["@type"].endswith("ErrorInfo")]
        assert detail["metadata"]["permission"] == "iam.serviceAccounts.actAs"
    search = nas("true", trials=1, at_once=1, train=(1, 1))
    algorithm = search["nasJobSpec"]["multiTrialAlgorithmSpec"]
    algorithm["trainTrialSpec"]["trainTrialJobSpec"] = spec("true", serviceAccount=email)
    assert closed.call("POST", f"/v1/{parent(project)}/nasJobs", plain, search).status == 403
    assert closed.call("GET", path, plain).json == {}
    assert closed.call("POST", path, named, asking(project, "", "", serviceAccount=email)).status == 200


def test_a_revoked_account_ends_its_tokens(closed: Closed, project: str) -> None:
    """While the job still runs: what it shows counts no more from then on."""
    email = closed.account(f"r{project[2:]}", "--project", project)
    gone = closed.server.data_dir.parent / f"gone-{project}"
    body = asking(project, str(gone), WAITS, serviceAccount=email)
    made = closed.call("POST", f"/v1/{parent(project)}/customJobs", closed.owner, body).json
    waited(lambda: {"state": "SUCCEEDED" if said(closed.server, made["name"]) else ""})
    closed.tokens("revoke", f"r{project[2:]}")
    gone.touch()
    closed.ended(made["name"])
    assert output(closed.server, made["name"]).split() == ["200", "401"]


def test_a_shell_in_its_job_is_for_those_who_may_act_as_it(closed: Closed, project: str) -> None:
    """Its tokens are at hand there: who may make, see and end the job has no shell in it by that alone."""
    email = closed.account(f"w{project[2:]}", "--project", project, "--role", "admin")
    plain = closed.tokens("create", f"z{project[2:]}", "--project", project)
    container = {"imageUri": "host", "command": list(WAITS_FOR_EVER)}
    body = pools(pool(containerSpec=container), serviceAccount=email, enableWebAccess=True)
    name = closed.call("POST", f"/v1/{parent(project)}/customJobs", closed.owner, body).json["name"]
    up = waited(lambda: closed.call("GET", f"/v1/{name}", closed.owner).json, "webAccessUris")
    path = path_of(up["webAccessUris"]["workerpool0-0"])
    refused = closed.call("GET", path, plain, headers=ASKS_FOR_SHELL)
    assert (refused.status, refused.error["status"]) == (403, "PERMISSION_DENIED")
    assert email in refused.error["message"]
    with ShellClient(closed.server.port, path, {"Authorization": f"Bearer {closed.owner}"}) as person:
        assert person.says("echo in") == "in"
    assert closed.call("POST", f"/v1/{name}:cancel", plain, {}).status == 200
    assert closed.ended(name)["state"] == "JOB_STATE_CANCELLED"


def said(server: Server, name: str) -> bool:
    """Whether its program has written anything yet."""
    return any(path.stat().st_size for path in (server.data_dir / "logs" / name.rpartition("/")[2]).glob("*/stdout"))


def test_trials_are_their_account_too(closed: Closed, project: str) -> None:
    """Each trial of a search finds the e-mail of its own stage's account."""
    email = closed.account(f"s{project[2:]}", "--project", project)
    command = [sys.executable, "-c", ASKS]
    search = nas("true", trials=1, at_once=1)
    stage = search["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    stage["serviceAccount"] = email
    container = stage["workerPoolSpecs"][0]["containerSpec"]
    container.update(command=command, env=[{"name": "BUCKETS"}, {"name": "PARENT", "value": parent(project)}])
    made = closed.call("POST", f"/v1/{parent(project)}/nasJobs", closed.owner, search).json
    closed.ended(made["name"])
    written = [path.read_text() for path in (closed.server.data_dir / "logs").glob("*/*/stdout")]
    assert json.dumps([email, [], 200]) + "\n" in written


def test_an_open_service_takes_any_account(server: Server, api: Api, project: str) -> None:
    """Programs are who the job says, with everybody's rights; the service log says that nobody declared the account."""
    email = "someone@elsewhere.iam.gserviceaccount.com"
    made = api.made(asking(project, f"open-{project}", serviceAccount=email))
    assert api.wait(made["name"])["state"] == "JOB_STATE_SUCCEEDED"
    assert json.loads(output(server, made["name"])) == [email, [200], 200]
    told = api.call("GET", f"/trainyard/v1/{made['name']}/logs").body.decode()
    assert f"The programs are {email} to this service, which does not know that account" in told
    audit = (server.data_dir / "audit.log").read_text().splitlines()
    assert any(email in line and f"open-{project}" in line for line in audit)


CLIENT = """
import google.auth, json, os
from google.api_core import exceptions
from google.cloud import storage

credentials, _ = google.auth.default()
client, results = storage.Client("p"), []
for bucket in os.environ["BUCKETS"].split():
    try:
        client.bucket(bucket).blob("by-client").upload_from_string("weights")
        results.append("written")
    except exceptions.Forbidden as error:
        results.append(error.code)
print(json.dumps([client._credentials.service_account_email, results]))
"""


@pytest.mark.clients
def test_googles_own_client_is_the_account(closed: Closed, project: str) -> None:
    """google-cloud-storage as it is, told of nothing: its default credentials are the account's."""
    email = closed.account(f"c{project[2:]}", "--project", project)
    for bucket, owner in ((f"in-{project}", project), (f"out-{project}", "p-other")):
        closed.call("POST", f"/storage/v1/b?project={owner}", closed.owner, {"name": bucket})
    body = asking(project, f"in-{project} out-{project}", CLIENT, serviceAccount=email)
    made = closed.call("POST", f"/v1/{parent(project)}/customJobs", closed.owner, body).json
    assert closed.ended(made["name"])["state"] == "JOB_STATE_SUCCEEDED"
    assert json.loads(output(closed.server, made["name"])) == [email, ["written", 403]]


def test_real_credentials_are_handed_on(closed: Closed, tmp_path: Path, project: str) -> None:
    """A job of that account gets the file that was mapped to it, and nothing that leads its clients here."""
    key = tmp_path / "google.json"
    key.write_text('{"type": "authorized_user"}')
    email = closed.account(
        f"k{project[2:]}", "--email", f"real-{project}@corp.example", "--google-credentials", str(key)
    )
    assert email == f"real-{project}@corp.example"
    program = (
        "import os; print(open(os.environ['GOOGLE_APPLICATION_CREDENTIALS']).read());"
        "print([name for name in os.environ if name.startswith(('GCE_METADATA', 'STORAGE_', 'API_ENDPOINT'))])"
    )
    made = closed.call(
        "POST", f"/v1/{parent(project)}/customJobs", closed.owner, asking(project, "", program, serviceAccount=email)
    )
    closed.ended(made.json["name"])
    assert output(closed.server, made.json["name"]) == '{"type": "authorized_user"}\n[]\n'
    told = closed.call("GET", f"/trainyard/v1/{made.json['name']}/logs", closed.owner).body.decode()
    assert f"The programs have the real Google credentials of {email}" in told
