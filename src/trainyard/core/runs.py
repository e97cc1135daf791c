"""What every executor speaks: the run group it is asked to hold, and the readings it gives back.

A *run group* is one attempt of a job: all its replicas. An *incarnation* counts the starts of one replica within
the attempt (0 is the first): a worker restarted in place keeps its attempt and gets its next incarnation. The
triple run id, replica name, incarnation is started at most once, ever (law 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from trainyard.core.dashboards import Dashboard


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica asks for."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: int = 0
    reservation: str = ""  # whose share of the replicas it is to be of; empty: of what is not reserved
    any_of: tuple[str, ...] = ()  # with no reservation: the shares that it takes a place of first, where one is free


@dataclass(frozen=True, slots=True)
class Places:
    """So many replicas that are kept for whom asks for `share`; of all else there is, each of them keeps `each`."""

    share: str
    replicas: int = 0
    each: Resources = Resources()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an executor has in all, or what is still free. None means: not limited here.

    `reserved`: how many of the replicas are set aside for whom asks for them by name; `kept`: those of them that come
    with GPUs, CPUs and memory of their own.
    """

    replicas: int
    gpus: int | None = 0
    cpus: float | None = None
    memory_bytes: int | None = None
    reserved: tuple[tuple[str, int], ...] = ()
    kept: tuple[Places, ...] = ()

    def keeping(self, places: Sequence[Places]) -> Capacity:
        """This, with these places set aside as well."""
        pairs = tuple((each.share, each.replicas) for each in places)
        own = tuple(each for each in places if each.each != Resources())
        return replace(self, reserved=(*self.reserved, *pairs), kept=(*self.kept, *own))


@dataclass(frozen=True, slots=True)
class PythonPackage:
    """pythonPackageSpec: packages to install in order, then `python3 -m module args`."""

    uris: tuple[str, ...]
    module: str


@dataclass(frozen=True, slots=True)
class Share:
    """A file system elsewhere that a replica is to see: `source` as mount(8) writes it, `target` its place inside."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """One replica as its job asks for it; `$(VAR)` not yet expanded.

    `name` is `workerpool{pool}-{index}`. Exactly one of (`command`/`args`) and `package` says what runs;
    with `package` set, `args` are the module's arguments and `command` is empty.
    """

    name: str
    pool: int
    index: int
    image_uri: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    package: PythonPackage | None = None
    env: tuple[tuple[str, str], ...] = ()
    resources: Resources = Resources()
    incarnation: int = 0
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class RunGroup:
    """One attempt of a job: what an executor is asked to hold. Replicas come in pool order, primary first."""

    run_id: str
    job_name: str  # full resource name
    job_id: int
    project: str  # number
    location: str
    replicas: tuple[ReplicaSpec, ...]
    job_spec_json: str  # CustomJobSpec as JSON, for CLUSTER_SPEC.job
    base_output_uri: str = ""  # gs://…/ with a trailing slash, or empty
    experiment: str = ""
    experiment_run: str = ""
    tensorboard: str = ""
    service_account: str = ""  # the e-mail of the account that its programs are to be; empty: of the run itself
    grace_seconds: float = 30.0
    extra_env: Mapping[str, str] = field(default_factory=dict)  # set by the kind, over the service's own variables
    takes_report: bool = False  # programs get CLOUD_ML_HP_METRIC_FILE, and what they leave in it is their Exit's report
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what to tell, by what the replicas run in
    opens_shells: bool = False  # people may ask for shells beside the programs
    dashboard: Dashboard | None = None  # people may see it
    makes_output: bool = False  # the directory of base_output_uri is there before any program starts
    is_sealed: bool = False  # what it prints is sealed at rest: nothing of it may be written down elsewhere


class Phase(StrEnum):
    """What an executor sees of one replica."""

    ABSENT = "absent"  # no trace of it (law 4: proves nothing before launch + settle)
    STARTING = "starting"  # its agent has it: preparing the environment, waiting for the others
    RUNNING = "running"  # the user's program has been started
    ENDED = "ended"  # its whole process tree is gone and `exit` says how it ended


class Cause(StrEnum):
    """How a replica ended, as far as evidence goes."""

    EXITED = "exited"  # the program ended by itself with `code`
    SIGNALED = "signaled"  # the program was ended by `signal`, not sent by us
    STOPPED = "stopped"  # we ended it, because a Stop was asked
    OUT_OF_MEMORY = "oom"  # the kernel or the limit ended it for its memory
    START_FAILED = "start failed"  # the program could not be started; `message` says why
    LOST = "lost"  # its agent vanished without an exit record; `message` says how we know


@dataclass(frozen=True, slots=True)
class Exit:
    """The evidence of an end. Times are microseconds since the epoch; sizes in bytes."""

    cause: Cause
    code: int | None = None  # as a shell gives it: 0..255, signals as 128+n
    signal: int | None = None
    message: str = ""  # one sentence where `cause` needs one
    last_lines: str = ""  # the tail of its output, at most a few lines
    started_us: int | None = None
    ended_us: int | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None
    internal: bool = False  # with START_FAILED: the fault is the service's, not the job's; worth a retry
    report: str | None = None  # the newest lines of the metric file; None where none was asked for or written


@dataclass(frozen=True, slots=True)
class ReplicaReading:
    """What was seen of one replica's newest incarnation."""

    phase: Phase
    incarnation: int = 0
    exit: Exit | None = None
    note: str = ""  # what it is doing while STARTING, for the service log


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen of a run group, and when. Replicas that are not in the mapping are ABSENT.

    The last two are the controller's to set, never the executor's: calendar time may jump, so durations are taken
    from the steady clock; and absence is proof only where no act younger than the settle time is under way (law 4).
    """

    run_id: str
    as_of_us: int
    replicas: Mapping[str, ReplicaReading] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what people should know: fields without effect here, host instead of image
    steady_us: int | None = None  # the steady clock now
    absence_counts: bool = False  # whether a replica that is ABSENT here is gone for sure

    def of(self, replica: str) -> ReplicaReading:
        """The reading of one replica; ABSENT where nothing was seen."""
        return self.replicas.get(replica, ReplicaReading(Phase.ABSENT))
