"""A job's dashboard: the web page that its chief's program serves, on a port that its environment names.

The original gives the program AIP_DASHBOARD_PORT, which Google's samples take for 8888, and shows the page's URI in
webAccessUris under `workerpool0-0:8888` (python-aiplatform, tests/unit/aiplatform/test_training_jobs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

PORT_VARIABLE: Final = "AIP_DASHBOARD_PORT"
USUAL_PORT: Final = 8888
USUAL_PLACE: Final = "http://dashboards.localhost"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`port` is where the program listens in a network of its own; `chosen`: the job's own environment says so.

    Where replicas share the machine's network, a port that is not `chosen` would be taken twice, so that each run gets
    a free one. `uri` is where browsers see the page; `account` is the e-mail of the service account that its program
    is, empty where it is none.
    """

    replica: str
    port: int = USUAL_PORT
    chosen: bool = False
    uri: str = ""
    account: str = ""

    @property
    def key(self) -> str:
        """What stands for it in webAccessUris, and for its port among those that a run group holds."""
        return f"{self.replica}:{self.port}"


class Ports(NamedTuple):
    """Where the chief's program listens, and the port of this machine's loopback that leads there."""

    inside: int
    outside: int


def port_of(text: str) -> int | None:
    """The port that a job's environment names; None where it is none."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    return int(text) if is_number and 0 < int(text) <= 0xFFFF else None


def uri_of(at: str, job_id: int) -> str:
    """`http://dashboards.localhost:8470` and 7: `http://7.dashboards.localhost:8470/`, a host for each job alone."""
    scheme, _, netloc = at.partition("://")
    return f"{scheme}://{job_id}.{netloc}/"
