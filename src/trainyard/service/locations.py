"""Locations: the original's regions are listed, and every well-formed one that is asked for is there.

Jobs of all locations run on this machine; a location is a name to keep them apart. List: Vertex AI, "Locations".
"""

from __future__ import annotations

from typing import Any

from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.names import Scope
from trainyard.core.paging import page_size, read_token, write_token
from trainyard.service.call import Call
from trainyard.service.rendering import message

REGIONS = (
    "africa-south1",
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-south2",
    "asia-southeast1",
    "asia-southeast2",
    "australia-southeast1",
    "australia-southeast2",
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west12",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "global",
    "me-central1",
    "me-central2",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "southamerica-east1",
    "southamerica-west1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-east7",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
    "us-west8",
)
_LIST = "locations"


async def get(call: Call, request: Any) -> Any:  # noqa: ARG001 - the signature of every handler
    """One location; raises InvalidArgument on a malformed name."""
    return _location(Scope.parse(request.name))


async def list_(call: Call, request: Any) -> Any:  # noqa: ARG001 - the signature of every handler
    """The original's regions, in order of name."""
    if request.filter:
        reason = "Filters are not supported on locations; leave it out."
        raise InvalidArgument(reason, [FieldViolation("filter", reason)])
    match request.name.split("/"):
        case ["projects", project]:
            scopes = [Scope.of(project, region) for region in REGIONS]
        case _:
            raise InvalidArgument(f"{request.name!r} is not of the form projects/*.")
    context = (_LIST, scopes[0].project)
    start, size = read_token(request.page_token, *context) or 0, page_size(request.page_size)
    answer = message("google.cloud.location.ListLocationsResponse")
    answer.locations.extend(_location(scope) for scope in scopes[start : start + size])
    answer.next_page_token = write_token(start + size if start + size < len(scopes) else None, *context)
    return answer


def _location(scope: Scope) -> Any:
    location = message("google.cloud.location.Location")
    location.name = str(scope)
    location.location_id = scope.location
    location.display_name = scope.location
    location.labels["cloud.googleapis.com/region"] = scope.location
    return location
