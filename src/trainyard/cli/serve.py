"""`trainyard serve`: the one command that runs the service in its own process; the rest are clients.

Ends with 0 when asked to stop, 2 when it was told something that it cannot do, 1 when something is in the way; and
then with one sentence on stderr, never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys

from trainyard import __version__

STOPPED, IN_THE_WAY, USAGE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `trainyard serve`; each is a field of settings.Settings, and None where it is not given."""
    flag = parser.add_argument
    flag("--host", help="address to listen on; others than loopback only with --auth and --tls (127.0.0.1)")
    flag("--port", type=int, metavar="N", help="port of REST and gRPC; 0 takes a free one (8470)")
    flag("--grpc-port", type=int, metavar="N", help="one more port, for gRPC alone")
    flag("--sql-port", metavar="N", help="port of SQL for psql and drivers: a number, off, or auto (5466 where free)")
    flag("--data-dir", metavar="DIR", help="where all state lies (~/.local/share/trainyard)")
    flag("--auth", action="store_true", default=None, help="serve only holders of a credential (trainyard tokens)")
    flag("--tls", action="store_true", default=None, help="speak TLS, with a certificate of our own making")
    flag("--tls-names", metavar="NAME,…", help="more host names and addresses for that certificate")
    flag("--dashboards-at", metavar="URL", help="where browsers reach dashboards, each as JOB.NAME below its name")
    flag("--tls-cert", metavar="FILE", help="speak TLS with this certificate chain (PEM) instead")
    flag("--tls-key", metavar="FILE", help="its key (PEM, no password)")
    flag("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    flag("--replica-ports", metavar="A-B", help="ports that replicas get (20000-29999)")
    flag(
        "--accelerators", metavar="WHICH", help="jobs asking for GPUs that are not there: optional runs, required fails"
    )
    flag("--prebuilt", metavar="WHICH", help="what stands in for prebuilt images: environment or host")
    flag("--prebuilt-images", metavar="FILE", help="JSON: image URI to requirement lines, over the table's")
    flag(
        "--machine-types", metavar="WHICH", help="known refuses machine types that Google does not have, any takes them"
    )
    flag("--nas-searcher", metavar="NAME", help="what NasJobs search with: reinforce, random, evolution or model-based")
    flag("--missing-buckets", metavar="WHICH", help="make buckets asked for: auto (on loopback), always or never")
    flag("--objects-url", metavar="URL", help="where objects are kept instead of DIR/buckets: s3://, gs://, az://")
    flag("--gcs-mount", metavar="WHICH", help="whether programs see buckets at /gcs: auto or never")
    flag("--runtime", metavar="WHICH", help="where replicas run: auto, host, podman or docker")
    flag("--image-pull", metavar="WHEN", help="which images are fetched: missing, always or never")
    flag("--registry-auth", metavar="FILE", help="credentials of registries, as podman login writes them")
    flag("--container-network", metavar="WHICH", help="of containers: auto, bridge (one for each job) or host")
    flag("--mount-sources", metavar="S=DIR,…", help="directories that stand in for NFS and Lustre file systems")
    flag("--docker-host", metavar="URL", help="where Docker's API is (DOCKER_HOST)")
    flag("--stderr-severity", metavar="WHICH", help="severity of text on stderr: ERROR or auto")
    flag("--grace", type=float, metavar="SECONDS", help="how long programs get between SIGTERM and SIGKILL")
    flag("--drain", type=float, metavar="SECONDS", help="how long requests under way get when the service stops")
    flag("--usage-interval", type=float, metavar="SECONDS", help="between two samples of what replicas use (0: none)")
    flag("--mlflow-tracking-uri", metavar="URI", help="where jobs' experiment and experimentRun are written to")
    flag("--key-ring", metavar="RING", help="what keeps keys: local, or a PKCS#11 token by its URI (docs/security.md)")
    flag("--master-key-file", metavar="FILE", help="wraps the keys of `trainyard keys`, best on another medium")
    _add_room_arguments(parser)


def _add_room_arguments(parser: argparse.ArgumentParser) -> None:
    """How much runs at once, and what is kept for whom."""
    flag = parser.add_argument
    flag("--replicas", type=int, metavar="N", help="how many replicas run at once (four per core, at least eight)")
    flag("--machines", metavar="WHICH", help="machine types are labels, or their CPUs and memory are enforced")
    flag(
        "--reservations", metavar="NAME=N[:TYPE][+Ngpu],…", help="set aside for jobs whose reservationAffinity names it"
    )
    flag("--persistent-resources", metavar="FILE", help="JSON: machines kept for jobs with persistentResourceId")
    flag("--simulate-preemption", metavar="N[,SEED]", help="preempt running SPOT jobs N times an hour, to try them")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    from dataclasses import fields  # noqa: PLC0415 - other commands must not pay for it

    from trainyard.settings import BadSetting, Settings  # noqa: PLC0415 - other commands must not pay for it

    try:
        names = {each.name for each in fields(Settings)}
        settings = Settings.load({name: value for name, value in vars(args).items() if name in names}, os.environ)
    except BadSetting as error:
        return _sorry(str(error), USAGE)

    from trainyard import app  # noqa: PLC0415 - a quarter of a second, for whoever got this far

    try:
        app.run(settings, lambda at: _say(f"trainyard {__version__} ready: {at}, data in {settings.data_dir}"))
    except app.IN_THE_WAY as error:
        return _sorry(str(error), IN_THE_WAY)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _sorry(f"The operating system refuses: {error.strerror or error}{where}.", IN_THE_WAY)
    return STOPPED


def _say(line: str) -> None:
    """To stdout; whoever started us and listens no more must not keep the service from running."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sorry(sentence: str, code: int) -> int:
    print(f"trainyard serve: {sentence}", file=sys.stderr)
    return code
