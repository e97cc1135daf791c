"""The methods of the JSON API as a table: verb, path behind /storage/v1/, function. A star is one decoded segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trainyard.edges.storage import bucket_calls as buckets
from trainyard.edges.storage import object_calls as objects
from trainyard.edges.storage.calls import Call, Reply
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.places import Places

Function = Callable[[Places, Call], Reply]

METHODS: Final[tuple[tuple[str, str, Function], ...]] = (
    ("GET", "b", buckets.listed),
    ("POST", "b", buckets.insert),
    ("GET", "b/*", buckets.get),
    ("PATCH", "b/*", buckets.patch),
    ("PUT", "b/*", buckets.update),
    ("DELETE", "b/*", buckets.delete),
    ("GET", "b/*/storageLayout", buckets.layout),
    ("GET", "projects/*/serviceAccount", buckets.service_account),
    ("GET", "b/*/iam", buckets.policy),
    ("PUT", "b/*/iam", buckets.set_policy),
    ("GET", "b/*/iam/testPermissions", buckets.test_permissions),
    ("GET", "b/*/o/*/iam", buckets.policy),
    ("PUT", "b/*/o/*/iam", buckets.set_policy),
    ("GET", "b/*/o/*/iam/testPermissions", buckets.test_permissions),
    *(
        (verb, path + tail, function)
        for path in ("b/*/acl", "b/*/defaultObjectAcl", "b/*/o/*/acl")
        for verb, tail, function in (
            ("GET", "", buckets.acl_list),
            ("POST", "", buckets.acl_set),
            ("GET", "/*", buckets.acl_get),
            ("PATCH", "/*", buckets.acl_set),
            ("PUT", "/*", buckets.acl_set),
            ("DELETE", "/*", buckets.acl_delete),
        )
    ),
    ("GET", "b/*/o", objects.listed),
    ("GET", "b/*/o/*", objects.get),
    ("PATCH", "b/*/o/*", objects.patch),
    ("PUT", "b/*/o/*", objects.update),
    ("DELETE", "b/*/o/*", objects.delete),
    ("POST", "b/*/o/*/copyTo/b/*/o/*", objects.copy),
    ("POST", "b/*/o/*/rewriteTo/b/*/o/*", objects.rewrite),
    ("POST", "b/*/o/*/moveTo/o/*", objects.move),
    ("POST", "b/*/o/*/compose", objects.compose),
    ("POST", "b/*/o/*/restore", objects.restore),
)

_BY_SHAPE: Final = {
    shape: [(verb, path.split("/"), function) for verb, path, function in METHODS if path.count("/") + 1 == shape]
    for shape in {path.count("/") + 1 for _, path, _ in METHODS}
}


def find(verb: str, path: tuple[str, ...]) -> tuple[Function, tuple[str, ...]]:
    """The function for a path behind the API's prefix, and what stood in the stars' places. Raises HttpFault."""
    there = False
    for known, shape, function in _BY_SHAPE.get(len(path), ()):
        if all(want in ("*", have) for want, have in zip(shape, path, strict=True)):
            if known == verb:
                return function, tuple(have for want, have in zip(shape, path, strict=True) if want == "*")
            there = True
    if there:
        raise HttpFault(405, "methodNotAllowed", f"{verb} is no method of this resource.")
    raise HttpFault(404, "notFound", "Not Found")
