"""What each call of the gs:// endpoint needs."""

from __future__ import annotations

import pytest

from trainyard.credentials import ROLES
from trainyard.edges.storage.calls import Call, read_query, read_segments
from trainyard.edges.storage.rights import Need, needs_of, xml_needs
from trainyard.edges.storage.routes import METHODS
from trainyard.service.access_roles import grants

O = "/storage/v1/b/x/o"  # noqa: E741 - as the path has it


def call(method: str, path: str) -> Call:
    path, _, query = path.partition("?")
    return Call(method, read_segments(path), read_query(query), {}, "")


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/storage/v1/b?project=p", "buckets.list projects/p"),
        ("POST", "/storage/v1/b?project=p", "buckets.create projects/p"),
        ("POST", "/storage/v1/b", "buckets.create projects/_"),
        ("GET", "/storage/v1/b/x", "buckets.get b/x"),
        ("PATCH", "/storage/v1/b/x", "buckets.update b/x"),
        ("PUT", "/storage/v1/b/x", "buckets.update b/x"),
        ("DELETE", "/storage/v1/b/x", "buckets.delete b/x"),
        ("GET", "/storage/v1/b/x/storageLayout", "buckets.get b/x"),
        ("GET", O, "objects.list b/x"),
        ("HEAD", f"{O}/a%2Fb", "objects.get b/x/o/a/b"),
        ("GET", "/download/storage/v1/b/x/o/a?alt=media", "objects.get b/x/o/a"),
        ("PATCH", f"{O}/a", "objects.update b/x/o/a"),
        ("DELETE", f"{O}/a", "objects.delete b/x/o/a"),
        ("POST", "/upload/storage/v1/b/x/o?name=a", "objects.create b/x/o/a"),
        ("POST", "/resumable/upload/storage/v1/b/x/o?name=a", "objects.create b/x/o/a"),
        ("PUT", "/upload/storage/v1/b/x/o?upload_id=u", "objects.create b/x"),
        ("GET", "/upload/storage/v1/b/x/o?upload_id=u", "objects.create b/x"),
        ("DELETE", "/upload/storage/v1/b/x/o?upload_id=u", "multipartUploads.abort b/x"),
        ("POST", f"{O}/a/copyTo/b/y/o/c", "objects.get b/x/o/a, objects.create b/y/o/c"),
        ("POST", f"{O}/a/rewriteTo/b/y/o/c", "objects.get b/x/o/a, objects.create b/y/o/c"),
        ("POST", f"{O}/a/moveTo/o/c", "objects.delete b/x/o/a, objects.create b/x/o/c"),
        ("POST", f"{O}/a/compose", "objects.get b/x, objects.create b/x/o/a"),
        ("POST", f"{O}/a/restore", "objects.restore b/x/o/a"),
        ("GET", f"{O}/a/acl", "objects.getIamPolicy b/x/o/a"),
        ("POST", f"{O}/a/acl", "objects.setIamPolicy b/x/o/a"),
        ("PUT", f"{O}/a/iam", "objects.setIamPolicy b/x/o/a"),
        ("GET", "/storage/v1/b/x/iam", "buckets.getIamPolicy b/x"),
        ("DELETE", "/storage/v1/b/x/defaultObjectAcl/allUsers", "buckets.setIamPolicy b/x"),
        ("GET", "/storage/v1/b/x/iam/testPermissions", ""),
        ("GET", f"{O}/a/iam/testPermissions", ""),
        ("GET", "/storage/v1/projects/p/serviceAccount", ""),
        ("POST", "/batch/storage/v1", ""),
        ("GET", "/storage/v1/b/x/y", ""),
        ("GET", "/storage/v2/b", ""),
    ],
)
def test_the_table(method: str, path: str, needs: str) -> None:
    """One line per method of the API."""
    found = needs_of(call(method, path))
    assert ", ".join(f"{each.permission.removeprefix('storage.')} {each.resource}" for each in found) == needs


def test_no_method_is_forgotten() -> None:
    """Every method that there is needs a permission that admins have, but for the three that everybody may ask."""
    free = []
    for method, path, _ in METHODS:
        needs = needs_of(call(method, "/storage/v1/" + path.replace("*", "s")))
        assert all(grants("admin", need.permission) for need in needs)
        if not needs:
            free.append(path)
        if method != "GET":
            assert any(need.writes for need in needs), path
            assert not all(grants("viewer", need.permission) for need in needs), path
    assert free == ["projects/*/serviceAccount", "b/*/iam/testPermissions", "b/*/o/*/iam/testPermissions"]


def test_parts_of_an_upload_are_no_writes() -> None:
    """Only its end makes an object; whoever may not create one may not begin."""
    begin, part, end = (
        xml_needs(call(method, f"/x/a/b?{query}"))[0]
        for method, query in (("POST", "uploads"), ("PUT", "partNumber=1&uploadId=u"), ("POST", "uploadId=u"))
    )
    assert (begin.writes, part.writes, end.writes) == (False, False, True)
    assert end == Need("storage.objects.create", "x", "a/b")
    assert {role for role in ROLES if grants(role, begin.permission)} == {"user", "admin"}


def test_the_name_may_come_with_the_answer() -> None:
    """An upload whose name stands in its body is written down by the name that the object got."""
    need = Need("storage.objects.create", "x")
    assert need.of({"kind": "storage#object", "name": "a"}).resource == "b/x/o/a"
    assert need.of(None) is need
    assert need.of({"kind": "storage#objects"}) is need
