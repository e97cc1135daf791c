"""The composition root's part for who may come in."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.app_access import audiences, certificate, equipment, open_doors
from trainyard.core.errors import Unavailable
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.jobs import Decision, Event, Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.runs import ReplicaSpec, RunGroup
from trainyard.core.states import JobState
from trainyard.credentials import Credential, CredentialFile, Form, digest_of
from trainyard.service.access import OpenAccess
from trainyard.settings import Settings
from trainyard.stores.memory import MemoryStore

EMAIL = "trainer@p1.iam.gserviceaccount.com"
ACCOUNT = Credential("trainer", Form.ACCOUNT, "user", ("p1",), email=EMAIL, key_id="k", public_key="p")


class Clock:
    """Moves on with every look."""

    time_us = 1_700_000_000_000_000

    def now_us(self) -> int:
        self.time_us += 1
        return self.time_us

    steady_us = now_us


def settings(directory: Path, **more: Any) -> Settings:
    return Settings.load({"data_dir": directory, **more}, {})


@pytest.mark.parametrize(
    ("audience", "ours"),
    [
        ("https://us-central1-aiplatform.googleapis.com/", True),
        ("https://aiplatform.googleapis.com/google.cloud.aiplatform.v1.JobService", True),
        ("https://storage.googleapis.com/", True),
        ("https://logging.googleapis.com/", True),
        ("https://oauth2.googleapis.com/token", True),
        ("https://accounts.google.com/o/oauth2/token", True),
        ("https://aiplatform.us-central1.rep.googleapis.com/", True),
        ("http://127.0.0.1:8470/token", True),
        ("https://LOCALHOST:8470/", True),
        ("https://train.example.com/token", True),
        ("https://bigquery.googleapis.com/", False),
        ("https://aiplatform.googleapis.com.evil.example/", False),
        ("https://evil.example/aiplatform.googleapis.com", False),
        ("https://xaiplatform.googleapis.com/", False),
        ("https://other.example.com/token", False),
        ("ftp://localhost/", False),
        ("localhost", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_audiences_are_ours_or_those_we_stand_in_for(tmp_path: Path, audience: str, ours: bool) -> None:
    """A token that was signed for another service is not taken."""
    assert audiences(settings(tmp_path, tls_names="train.example.com"))(audience) is ours


def test_replicas_are_equipped(tmp_path: Path) -> None:
    """With the run's own address; what the spec or the kind sets itself stays; trust under --tls alone."""
    doors = open_doors(settings(tmp_path), Clock(), MemoryStore())

    def given(
        env: tuple[tuple[str, str], ...] = (), extra: dict[str, str] | None = None, **more: Any
    ) -> dict[str, str]:
        replica = ReplicaSpec("workerpool0-0", 0, 0, "img", env=env)
        group = RunGroup("7-1", "n", 7, "1", "l", (replica,), "", extra_env=extra or {})
        return dict(equipment(settings(tmp_path, **more), 8470, doors)(group).extra_env)

    plain = given()
    assert plain["GCE_METADATA_HOST"].startswith("127.0.0.1:8470/trainyard/v1/runs/tyt_")
    assert "REQUESTS_CA_BUNDLE" not in plain
    assert given(host="::1")["GCE_METADATA_HOST"].startswith("[::1]:8470/")
    everywhere = given(host="0.0.0.0", auth=True, tls=True)
    assert everywhere["GCE_METADATA_HOST"].startswith("127.0.0.1:8470/")
    assert everywhere["REQUESTS_CA_BUNDLE"] == str(tmp_path / "tls" / "bundle.pem")
    assert given(host="192.168.1.7", auth=True, tls=True)["GCE_METADATA_HOST"].startswith("192.168.1.7:8470/")
    assert "GCE_METADATA_HOST" not in given((("GCE_METADATA_HOST", "mine"),))
    assert given(extra={"GCE_METADATA_IP": "kinds"})["GCE_METADATA_IP"] == "kinds"


def equipped(directory: Path, **more: Any) -> RunGroup:
    """A run of a job with a service account."""
    here = settings(directory, **more)
    group = RunGroup("7-1", "n", 7, "1", "l", (), "", service_account=EMAIL, remarks={"host": ("before",)})
    return equipment(here, 8470, open_doors(here, Clock(), MemoryStore()))(group)


def test_an_account_that_nobody_declared_is_told_of(tmp_path: Path) -> None:
    """On an open service the programs are that account all the same; on a closed one it has been revoked meanwhile."""
    for more, words in (({}, "lets everybody do everything"), ({"auth": True}, "its tokens are refused")):
        group = equipped(tmp_path, **more)
        before, sentence = group.remarks["host"]
        assert before == "before"
        assert (group.remarks["podman"], group.remarks["docker"]) == ((sentence,), (sentence,))
        assert EMAIL in sentence
        assert words in sentence
        assert "GCE_METADATA_HOST" in group.extra_env


def test_a_declared_account_needs_no_words(tmp_path: Path) -> None:
    """Its programs are who the job says."""
    CredentialFile(tmp_path).add(ACCOUNT)
    assert equipped(tmp_path, auth=True).remarks == {"host": ("before",)}
    assert equipped(tmp_path).remarks == {"host": ("before",)}


def test_real_credentials_go_in_the_place_of_ours(tmp_path: Path) -> None:
    """None of ours is handed on beside them, nor is gs:// led here; where they are not there, nothing starts."""
    key = tmp_path / "google.json"
    CredentialFile(tmp_path).add(replace(ACCOUNT, google=str(key)))
    with pytest.raises(Unavailable, match="are not there"):
        equipped(tmp_path)
    key.write_text("{}")
    group = equipped(tmp_path, auth=True, tls=True)
    assert group.extra_env["GOOGLE_APPLICATION_CREDENTIALS"] == str(key)
    assert group.extra_env["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] == str(key)
    ours = ("GCE_METADATA_HOST", "API_ENDPOINT_OVERRIDE", "STORAGE_EMULATOR_HOST", "TRAINYARD_REDIRECT")
    assert not any(name in group.extra_env for name in ours)
    assert "REQUESTS_CA_BUNDLE" in group.extra_env
    assert "real Google credentials" in group.remarks["host"][1]


def test_nobody_starts_as_somebody_unknown(tmp_path: Path) -> None:
    """Where the credentials cannot be read, the run waits until they can."""
    CredentialFile(tmp_path).add(ACCOUNT)
    (tmp_path / "credentials.json").chmod(0o644)
    with pytest.raises(Unavailable, match="Nobody can tell who"):
        equipped(tmp_path)


def test_a_ticket_is_good_while_its_run_is_the_jobs_present_one(tmp_path: Path) -> None:
    """Not before, not after, not for another attempt, and not for what is no run at all."""
    store, clock = MemoryStore(), Clock()
    grants = open_doors(settings(tmp_path), clock, store).grants
    name = JobName(Scope.of("p1", "us-central1"), "customJobs", TimeOrderedIds(clock).next_id())
    job = Job(name, clock.now_us(), "t", {}, b"", Status(JobState.QUEUED, update_time_us=1), 0)
    asyncio.run(store.insert(job, []))
    ticket = grants.run_ticket(f"{name.id}-1")
    assert grants.holder_of(ticket) is None
    job = store.get(name)
    decision = Decision(replace(job.status, attempt=1, run_id=f"{name.id}-1"))
    admitted = asyncio.run(store.commit(job, decision.moved(Event.ADMITTED, clock.now_us(), "room")))
    assert admitted is not None
    assert grants.holder_of(ticket) == (name, "")
    for other in (f"{name.id}-2", f"{name.id + 1}-1", "x-1", ""):
        assert grants.holder_of(grants.run_ticket(other)) is None
    asyncio.run(store.commit(admitted, Decision(admitted.status).moved(Event.SUCCEEDED, clock.now_us(), "done")))
    assert grants.holder_of(ticket) is None


def test_without_auth_nobody_is_asked(tmp_path: Path) -> None:
    """And no file of credentials is made; without TLS no certificate either."""
    doors = open_doors(settings(tmp_path), Clock(), MemoryStore())
    assert isinstance(doors.access, OpenAccess)
    assert certificate(settings(tmp_path)) is None
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.key"]


def test_the_first_start_makes_one_token_and_no_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; after the last credential was revoked nobody is made up, and the log says why nobody gets in."""
    with caplog.at_level(logging.WARNING):
        doors = open_doors(settings(tmp_path, auth=True), Clock(), MemoryStore())
        token = caplog.text.split("shown only now: ")[1].split()[0]
        assert (doors.access.identify(f"Bearer {token}").name, doors.access.identify("", token).role) == (
            "owner",
            "admin",
        )
        caplog.clear()
        open_doors(settings(tmp_path, auth=True), Clock(), MemoryStore())
        assert caplog.text == ""
        CredentialFile(tmp_path).revoke("owner")
        open_doors(settings(tmp_path, auth=True), Clock(), MemoryStore())
        assert "nobody gets in" in caplog.text
    assert CredentialFile(tmp_path).read() == ()


def test_tokens_of_an_earlier_release_go_on_working(tmp_path: Path) -> None:
    """The first start of this release takes them over."""
    (tmp_path / "tokens").write_text(f"ann {digest_of('secret')}\n")
    (tmp_path / "tokens").chmod(0o600)
    doors = open_doors(settings(tmp_path, auth=True), Clock(), MemoryStore())
    assert doors.access.identify("Bearer secret").name == "ann"


def test_a_certificate_of_our_own_or_a_given_one(tmp_path: Path) -> None:
    """Either serves."""
    own = certificate(settings(tmp_path, tls=True))
    assert own is not None
    assert b"PRIVATE KEY" in own.key
    made = str(tmp_path / "tls" / "server.pem")
    given = certificate(settings(tmp_path / "other", tls_cert=made, tls_key=made))
    assert given is not None
    assert given.chain == own.chain
    assert not (tmp_path / "other" / "tls").exists()
