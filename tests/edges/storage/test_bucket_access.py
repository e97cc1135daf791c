"""Policies and access controls of buckets, where callers are asked who they are: kept to, or refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from edge_server import Server
from storage_calls import Storage

from trainyard.credentials import Credential, CredentialFile, Form, new_secret

UNIFORM = "when uniform bucket-level access is enabled"


class Holder(Storage):
    """Calls with one holder's token."""

    def __init__(self, server: Server, name: str, role: str, *projects: str) -> None:
        super().__init__(server, "shared")
        self.token, credential = new_secret(Credential(name, Form.TOKEN, role, projects, time.time_ns() // 1000))
        CredentialFile(server.data_dir).add(credential)

    def call(self, verb: str, path: str, body: Any = None, headers: Any = None) -> Any:
        """One request."""
        return super().call(verb, path, body, {"authorization": f"Bearer {self.token}", **(headers or {})})


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("policies") / "data", "--auth") as server:
        owner = Holder(server, "boss", "admin")
        assert owner.call("POST", "/storage/v1/b?project=p1", {"name": "shared"}).status == 200
        assert owner.upload("o", b"ours").status == 200
        yield server


def test_a_policy_lets_others_in_and_takes_them_out_again(closed: Server) -> None:
    """Who has no right in the bucket's project gets what the policy gives, at once, and testPermissions says so."""
    owner, guest = Holder(closed, "ann", "admin"), Holder(closed, "guest", "viewer", "p2")
    asked = "?permissions=storage.objects.get&permissions=storage.objects.create&permissions=storage.buckets.delete"
    permissions = f"/storage/v1/b/shared/iam/testPermissions{asked}"
    assert guest.media("o").status == 403
    assert guest.call("GET", permissions).json["permissions"] == []
    assert len(owner.call("GET", permissions).json["permissions"]) == 3
    for role, may_write in (("objectViewer", False), ("objectUser", True)):
        binding = {"role": f"roles/storage.{role}", "members": ["user:guest"]}
        assert owner.call("PUT", "/storage/v1/b/shared/iam", {"bindings": [binding]}).json["bindings"] == [binding]
        assert guest.media("o").body == b"ours"
        assert (guest.upload("theirs", b"x").status == 200) is may_write
        held = guest.call("GET", permissions).json["permissions"]
        assert held == ["storage.objects.get", *(["storage.objects.create"] if may_write else [])]
    assert guest.call("PUT", "/storage/v1/b/shared/iam", {"bindings": []}).status == 403
    assert owner.call("PUT", "/storage/v1/b/shared/iam", {"bindings": []}).status == 200
    assert guest.media("o").status == 403


def test_a_policy_that_could_not_be_kept_to_is_refused(closed: Server) -> None:
    """By the place in it; the policy before stays."""
    owner = Holder(closed, "owner2", "admin")
    binding = {"role": "roles/storage.objectViewer", "members": ["allUsers"]}
    answer = owner.call("PUT", "/storage/v1/b/shared/iam", {"bindings": [binding]})
    assert (answer.status, "bindings[0].members: 'allUsers'" in answer.error["message"]) == (400, True)
    assert binding not in owner.call("GET", "/storage/v1/b/shared/iam").json["bindings"]


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("GET", "/storage/v1/b/shared/acl", None),
        ("POST", "/storage/v1/b/shared/acl", {"entity": "allUsers", "role": "READER"}),
        ("GET", "/storage/v1/b/shared/defaultObjectAcl", None),
        ("PUT", "/storage/v1/b/shared/o/o/acl/allUsers", {"role": "READER"}),
        ("PATCH", "/storage/v1/b/shared/o/o?projection=full", {"acl": [{"entity": "allUsers", "role": "READER"}]}),
        ("PATCH", "/storage/v1/b/shared?predefinedAcl=publicRead", {}),
        ("PUT", "/storage/v1/b/shared/o/o/iam", {"bindings": []}),
        ("POST", "/upload/storage/v1/b/shared/o?uploadType=media&name=n&predefinedAcl=publicRead", b"x"),
        ("POST", "/upload/storage/v1/b/shared/o?uploadType=resumable", {"name": "n", "acl": [{"entity": "x"}]}),
        ("POST", "/storage/v1/b/shared/o/n/compose",
         {"sourceObjects": [{"name": "o"}], "destination": {"acl": [{"entity": "allUsers", "role": "READER"}]}}),
        ("POST", "/storage/v1/b/shared/o/o/rewriteTo/b/shared/o/n?destinationPredefinedAcl=publicRead", {}),
        ("POST", "/storage/v1/b", {"name": "other", "acl": [{"entity": "allUsers", "role": "READER"}]}),
    ],
)  # fmt: skip
def test_no_access_control_is_kept_that_is_not_kept_to(closed: Server, verb: str, path: str, body: Any) -> None:
    """As on a bucket with uniform access, which every bucket here is; nothing is made or changed."""
    owner = Holder(closed, f"o{time.time_ns()}", "admin")
    answer = owner.call(verb, path, body)
    assert answer.status == 400, answer.body
    assert UNIFORM in answer.error["message"]
    assert owner.call("GET", "/storage/v1/b/shared/o/n").status == 404


def test_buckets_say_that_their_access_is_uniform(closed: Server) -> None:
    """In every answer that tells of a bucket; one who may not set policies sees the same."""
    owner = Holder(closed, "owner3", "admin")
    one = owner.call("GET", "/storage/v1/b/shared").json
    listed = owner.call("GET", "/storage/v1/b?project=p1").json["items"]
    for bucket in (one, *listed):
        assert bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert owner.call("GET", "/storage/v1/b/shared?fields=name").json == {"name": "shared"}
