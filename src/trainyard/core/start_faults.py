"""Why a container did not come up, and what a program's last words point to: one sentence each, and what to do.

An engine says it in its own words; the first row whose pattern is found in them tells it in ours. Hints are for
programs that ran: their own words are always shown, a hint adds what can be done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_MOST_WORDS: Final = 400


class StartFault(StrEnum):
    """Every reason for which a replica's container is not there."""

    NO_ENGINE = "no engine"
    NO_IMAGE_NAMED = "no image named"
    ENGINE_AWAY = "engine away"
    ENGINE_DIED = "engine died"
    NOT_PULLED = "not pulled"
    SHORT_NAME = "short name"
    DISK_FULL = "disk full"
    LOGIN = "login"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    NO_IMAGE = "no image"
    NO_ENTRY_POINT = "no entry point"
    WRONG_PLATFORM = "wrong platform"
    NO_PYTHON = "no python"
    NOT_FOUND = "not found"
    NOT_EXECUTABLE = "not executable"
    NO_DIRECTORY = "no directory"
    NO_USER = "no user"
    PORT_TAKEN = "port taken"
    NO_GPU = "no gpu"
    NO_NETWORK = "no network"
    NO_LIMITS = "no limits"
    NO_MOUNT = "no mount"
    NOTHING_SAID = "nothing said"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Row:
    """`pattern` is sought in the engine's words. `text` has the blanks image, program, engine and words.

    `internal`: the fault is this machine's, and another attempt may find it mended.
    """

    pattern: str
    text: str
    internal: bool = False


START_FAULTS: Final[Mapping[StartFault, Row]] = {
    StartFault.NO_ENGINE: Row(
        r"^no engine",
        "The setting runtime asks for {engine}, which is not to be had here: {words}. Run `trainyard doctor`, or set "
        "runtime to auto or host.",
    ),
    StartFault.NO_IMAGE_NAMED: Row(
        r"^no image is named",
        "The job's image is `{image}`, which stands for this machine itself, but the setting runtime is {engine}, "
        "under which every replica runs in an image. Name one in containerSpec.imageUri, or set runtime to auto.",
    ),
    StartFault.ENGINE_AWAY: Row(
        r"Cannot connect to the Docker daemon|Error while fetching server API version|DOCKER_HOST",
        "The container engine {engine} can't be reached: {words}. Start it, or set docker_host to its socket.",
        internal=True,
    ),
    StartFault.ENGINE_DIED: Row(
        r"engine went away",
        "The container engine {engine} went away while it ran, so its exit status is not known. See why it ended, and "
        "start it again.",
        internal=True,
    ),
    StartFault.NOT_PULLED: Row(
        r"^never pulled",
        "The image {image} is not on this machine, and image_pull is never. Load it with `trainyard images pull "
        "{image}` or `{engine} load`, or set image_pull to missing.",
    ),
    StartFault.SHORT_NAME: Row(
        r"short-name|short name|unqualified-search registries",
        "The image {image} is not on this machine, and its name does not say from which registry it comes. Build or "
        "tag it here under that name, or write the registry into it, such as docker.io/library/{image}.",
    ),
    StartFault.DISK_FULL: Row(
        r"no space left on device|disk quota exceeded|not enough space",
        "There is no room on the disk for the image {image} or its container: {words}. Make room ({engine} image prune "
        "removes images that nothing uses) and submit the job again.",
    ),
    StartFault.LOGIN: Row(
        r"unauthorized|authentication required|access denied|access to the resource is denied|\b403\b|\b401\b"
        r"|(?<!permission )denied:",
        "The registry did not give us the image {image}: {words}. Log in ({engine} login REGISTRY), and name the file "
        "of credentials in the setting registry_auth.",
    ),
    StartFault.UNTRUSTED: Row(
        r"x509|certificate|server gave HTTP response to HTTPS client",
        "The registry of {image} could not be trusted: {words}. Install its certificate authority, or allow it as an "
        "insecure registry in {engine}'s registries configuration.",
    ),
    StartFault.NO_IMAGE: Row(
        r"manifest unknown|name unknown|not found: manifest|repository .* not found|reading manifest|\b404\b"
        r"|No such image|image not known|invalid reference format",
        "The registry has no image {image}: {words}. Check its name and tag.",
    ),
    StartFault.UNREACHABLE: Row(
        r"dial tcp|no such host|i/o timeout|connection refused|network is unreachable|pinging container registry"
        r"|connection reset|has not answered|Temporary failure in name resolution|TLS handshake|deadline exceeded",
        "The registry of {image} can't be reached: {words}. Check the network and its proxy settings, or load the "
        "image with `{engine} load`.",
    ),
    StartFault.NO_ENTRY_POINT: Row(
        r"no command or entrypoint|No command specified|^no entry point",
        "The image {image} has neither an entry point nor a command, and the job gives none. Set containerSpec.command "
        "to what shall run.",
    ),
    StartFault.WRONG_PLATFORM: Row(
        r"exec format error|does not match the (host|specified) platform|image platform",
        "{program} in the image {image} is not a program for this machine's processor, or a script without a #! line. "
        "Build the image for this platform.",
    ),
    StartFault.NO_DIRECTORY: Row(
        r"workdir .* does not exist|chdir to cwd|mkdir .*cwd",
        "The working directory of the image {image} can't be entered: {words}. Mend WORKDIR in the image.",
    ),
    StartFault.NO_USER: Row(
        r"unable to find (user|group)|no matching entries in passwd",
        "The user of the image {image} is not known inside of it: {words}. Mend USER in the image.",
    ),
    StartFault.NO_GPU: Row(
        r"CDI device|nvidia\.com/gpu|could not select device driver",
        "The GPUs could not be given to the container: {words}. Write their description once, as root: nvidia-ctk cdi "
        "generate --output=/etc/cdi/nvidia.yaml.",
    ),
    StartFault.PORT_TAKEN: Row(
        r"address already in use|port is already allocated",
        "A port that the replica needs is taken on this machine: {words}. Stop what listens there, or set "
        "container_network to bridge, where every replica has ports of its own.",
    ),
    StartFault.NO_MOUNT: Row(
        r"error mounting|statfs .*: no such file|mounting .* to rootfs|bind source path does not exist",
        "A directory that the replica was to see could not be mounted: {words}. Check that it is there and readable.",
    ),
    StartFault.NO_NETWORK: Row(
        r"netavark|aardvark|setup network|IPAM|iptables|nftables|slirp4netns|pasta|unable to find network",
        "The network of the containers could not be made: {words}. Run `trainyard doctor`, or set container_network to "
        "host.",
        internal=True,
    ),
    StartFault.NO_LIMITS: Row(
        r"cgroup|rlimit|setrlimit",
        "The limits of the container could not be set: {words}. Run `trainyard doctor`.",
        internal=True,
    ),
    StartFault.NO_PYTHON: Row(
        r"^python3?: .*(not found|no such file)",
        "The image {image} has no {program} on its PATH, and the job needs it. Choose an image with Python, or name "
        "the program to run in containerSpec.command.",
    ),
    StartFault.NOT_FOUND: Row(
        r"executable file.*not found|exec.*no such file or directory|failed to exec pid1: No such file",
        "The image {image} has no program {program}: it is not on the image's PATH, or the interpreter in its first "
        "line does not exist there. Check containerSpec.command.",
    ),
    StartFault.NOT_EXECUTABLE: Row(
        r"permission denied|failed to exec pid1: Permission denied|is a directory",
        "{program} in the image {image} can't be executed: {words}. Make it executable in the image (chmod +x).",
    ),
    StartFault.NOTHING_SAID: Row(
        r"started nothing and said nothing",
        "{engine} was ended before it had started the container. It is tried again.",
        internal=True,
    ),
    StartFault.OTHER: Row("", "{engine} could not start a container of {image}: {words}."),
}


class Hint(StrEnum):
    """What the last words of a program point to."""

    PORT_TAKEN = "port taken"
    NO_PYTHON = "no python"
    NO_SCRIPT = "no script"
    DISK_FULL = "disk full"
    SHARED_MEMORY = "shared memory"


HINTS: Final[Mapping[Hint, Row]] = {
    Hint.PORT_TAKEN: Row(
        r"Address already in use|EADDRINUSE|errno: 98",
        "It could not listen on a port, as another program has it: take the port from CLUSTER_SPEC or MASTER_PORT, "
        "or set container_network to bridge, where every replica has ports of its own.",
    ),
    Hint.NO_PYTHON: Row(
        r"python3?: (command )?not found|env: .?python3?.?: No such file",
        "There is no Python where it ran: choose an image that has it.",
    ),
    Hint.NO_SCRIPT: Row(
        r"(can't|cannot) open (file )?\S+ .*No such file",
        "That file is not there where it ran: a container has its image's files, /gcs and its mounts, and none of this "
        "machine's. Put it into the image or a bucket, or let `host` be the image, which is this machine itself.",
    ),
    Hint.DISK_FULL: Row(
        r"No space left on device|Disk quota exceeded",
        "The disk is full: make room, or write to a bucket elsewhere.",
    ),
    Hint.SHARED_MEMORY: Row(
        r"insufficient shared memory|Unable to open shared memory|Bus error",
        "It ran out of shared memory: choose a larger machineType, or fewer or smaller workers of the data loader.",
    ),
}


def start_fault(words: str, program: str = "") -> StartFault:
    """Which fault an engine speaks of."""
    said = plain(words)
    python = re.compile(START_FAULTS[StartFault.NO_PYTHON].pattern, re.IGNORECASE)
    for fault, row in START_FAULTS.items():
        if fault is StartFault.NO_PYTHON:
            found = bool(python.search(f"{program.rpartition('/')[2]}: {said}".replace("\n", " ")))
        else:
            found = bool(re.search(row.pattern, said, re.IGNORECASE | re.MULTILINE))
        if found:
            return fault
    return StartFault.OTHER


def start_sentence(words: str, image: str, program: str, engine: str) -> tuple[str, bool]:
    """The sentence for an engine's words, and whether the fault is the service's or its machine's."""
    row = START_FAULTS[start_fault(words, program)]
    said = " ".join(plain(words).split())
    said = (said if len(said) <= _MOST_WORDS else f"…{said[-_MOST_WORDS:]}").rstrip(".") or "it said nothing"
    return row.text.format(image=image, program=program or "The program", engine=engine, words=said), row.internal


def hint(last_lines: str) -> str:
    """A sentence that helps with a program's last words, or nothing."""
    for row in HINTS.values():
        if re.search(row.pattern, last_lines, re.IGNORECASE):
            return row.text
    return ""


def plain(words: str) -> str:
    """Engines' words without the JSON and the prefixes of their logs; what is said twice stands once."""
    lines: dict[str, None] = {}
    for line in words.splitlines():
        try:
            message = str(json.loads(line)["msg"])
        except (ValueError, TypeError, KeyError):
            message = re.sub(r"^(Error: |time=\S+ level=\w+ msg=)", "", line.strip())
        if message and not message.startswith(("Trying to pull", "Getting image")) and "level=warning" not in line:
            lines[message] = None
    return "\n".join(lines)
