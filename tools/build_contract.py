"""Build src/trainyard/contract/{vertex.binpb,book.json} from published packages; same packages, same bytes.

    python tools/build_contract.py            writes both files
    python tools/build_contract.py --check    writes nothing; exit 1 and a sentence when they are out of date

The APIs' .proto files come from the official Node.js clients (pinned versions, checked by their digests), the common
ones from googleapis-common-protos and grpc-google-iam-v1, the compiler from grpcio-tools. Of the whole API only the
methods named in contract_book.py and what they reach are kept; of the other services the book has the names of their
collections, so that who asks for one can be told. Comments go into the book, never into the binary.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import files as package_files
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

import contract_book
from contract_book import API_VERSIONS, Index

PACKAGES = {  # with the digest of the tarball; of Cloud Logging, later versions carry no .proto files
    "@google-cloud/aiplatform@7.4.0": "709236f125769273aa41c13e1556b670fba548041a2f811ece829defd19fddac",
    "@google-cloud/logging@11.2.1": "077f025ede64547a60bb2e9997aa4b66c06bee9857d43e627f7daa8264349cd9",
}

CONTRACT = Path(__file__).resolve().parent.parent / "src" / "trainyard" / "contract"

SOURCES = (
    *(f"google/cloud/aiplatform/{v}/{name}.proto" for v in API_VERSIONS for name in ("job_service", "operation")),
    *(f"google/protobuf/{name}.proto" for name in ("any", "duration", "struct", "wrappers", "field_mask")),
    "google/longrunning/operations.proto",
    "google/cloud/location/locations.proto",
    "google/iam/v1/iam_policy.proto",
    "google/rpc/error_details.proto",
    "google/logging/v2/logging.proto",
)

# Reached by no field of a kept method, but carried in Any or in options.
ALSO = (
    *(f"google.cloud.aiplatform.{v}.DeleteOperationMetadata" for v in API_VERSIONS),
    *(f"google.rpc.{name}" for name in (
        "ErrorInfo", "RetryInfo", "DebugInfo", "QuotaFailure", "PreconditionFailure", "BadRequest", "RequestInfo",
        "ResourceInfo", "Help", "LocalizedMessage")),
    "google.api.HttpRule", "google.api.FieldBehavior", "google.api.ResourceDescriptor",
)  # fmt: skip
KEPT_OPTIONS = ("google.api.http", "google.api.field_behavior", "google.api.resource")
WELL_KNOWN = "google/protobuf/"  # these files are kept whole: runtimes know them by heart


def fetch(folder: Path, package: str, tarball: Path | None) -> Path:
    """The .proto folder of an official client, from `tarball` or by npm's ordinary `pack`; the digest must match."""
    folder = folder / package.rpartition("/")[2]
    folder.mkdir()
    if tarball is None:
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True)
        (tarball,) = folder.glob("*.tgz")
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if digest != PACKAGES[package]:
        sys.exit(f"{tarball.name} has the SHA-256 {digest}, not {PACKAGES[package]}: it is not {package} as reviewed.")
    with tarfile.open(tarball) as archive:
        archive.extractall(folder / "client", filter="data")
    return folder / "client" / "package" / "build" / "protos"


def common_protos(folder: Path) -> Path:
    """The common .proto files, gathered from the installed packages under the names that others import them by."""
    for package in ("googleapis-common-protos", "grpc-google-iam-v1"):
        for entry in package_files(package) or ():
            if entry.suffix == ".proto":
                target = folder / "common" / str(entry).replace("operations_proto.proto", "operations.proto")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(entry.locate()), target)
    return folder / "common"


def compile_protos(folder: Path, tarballs: Sequence[Path]) -> FileDescriptorSet:
    """Everything, unpruned, with comments; options know their extensions."""
    given: Sequence[Path | None] = tarballs or [None] * len(PACKAGES)
    clients = [fetch(folder, package, tarball) for package, tarball in zip(PACKAGES, given, strict=True)]
    common, out = common_protos(folder), folder / "all.binpb"
    includes = [*clients, common, Path(str(resources("grpc_tools") / "_proto"))]
    services = sorted(f"google/cloud/aiplatform/{v}/{path.name}" for v in contract_book.API_VERSIONS
                      for path in clients[0].glob(f"google/cloud/aiplatform/{v}/*_service.proto"))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--include_imports", "--include_source_info",
         *(f"-I{path}" for path in includes), f"--descriptor_set_out={out}", *SOURCES, *services],
        check=False, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)  # what it says when it succeeds are warnings about files that are not ours
    data = out.read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
    # Only the classes of this pool parse its options' extensions as such.
    aware: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    everything: FileDescriptorSet = aware.FromString(data)
    return everything


def closure(found: Index) -> set[str]:
    """Full names of the messages and enums that the kept methods and ALSO reach, with the messages around them."""
    todo = list(ALSO)
    for _, _, method in contract_book.kept_methods(found):
        todo += [method.input_type[1:], method.output_type[1:]]
    kept: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in kept:
            kept.add(name)
            todo += [found.around[name]] if name in found.around else []
            if name in found.messages:
                todo += [field.type_name[1:] for field in found.messages[name].field if field.type_name]
    return kept


def prune(everything: FileDescriptorSet, found: Index, kept: set[str]) -> FileDescriptorSet:
    """The kept part, file by file, without comments and without options that nobody here reads."""
    methods = {(service, method.name) for service, _, method in contract_book.kept_methods(found)}
    needed = {name for name in SOURCES if name.startswith(WELL_KNOWN)}
    for file in everything.file:
        file.ClearField("source_code_info")
        if not file.name.startswith(WELL_KNOWN):
            _prune_file(file, kept, methods)
            file.dependency[:] = sorted(_dependencies(file, found))
            needed |= {file.name, *file.dependency} if file.dependency or kept & set(_defines(file)) else set()
    needed |= {name for file in everything.file if file.name in needed for name in file.dependency}
    pruned = FileDescriptorSet()
    for file in everything.file:  # protoc lists what is imported before its importers
        if file.name in needed:
            del file.public_dependency[:]
            pruned.file.add().ParseFromString(file.SerializeToString(deterministic=True))
    return pruned


def _prune_file(file: FileDescriptorProto, kept: set[str], methods: set[tuple[str, str]]) -> None:
    file.ClearField("options")
    _keep(file.message_type, lambda message: f"{file.package}.{message.name}" in kept)
    _keep(file.enum_type, lambda enum: f"{file.package}.{enum.name}" in kept)
    _keep(file.extension, lambda extension: f"{file.package}.{extension.name}" in KEPT_OPTIONS)
    for message in file.message_type:
        _prune_message(message, f"{file.package}.{message.name}", kept)
    for service in file.service:
        service.ClearField("options")
        _keep(service.method, lambda method: (f"{file.package}.{service.name}", method.name) in methods)  # noqa: B023 - used at once
        for method in service.method:
            _keep_options(method)
    _keep(file.service, lambda service: bool(service.method))


def _prune_message(message: DescriptorProto, name: str, kept: set[str]) -> None:
    _keep(message.nested_type, lambda nested: f"{name}.{nested.name}" in kept)
    _keep(message.enum_type, lambda enum: f"{name}.{enum.name}" in kept)
    for part in (message, *message.field):
        _keep_options(part)
    for nested in message.nested_type:
        _prune_message(nested, f"{name}.{nested.name}", kept)


def _keep(parts: Any, wanted: Callable[[Any], bool]) -> None:
    """Delete the unwanted ones in place; the others keep their order."""
    for i in range(len(parts) - 1, -1, -1):
        if not wanted(parts[i]):
            del parts[i]


def _keep_options(part: Any) -> None:
    for option, _ in part.options.ListFields():
        if option.full_name not in KEPT_OPTIONS and option.name not in ("map_entry", "deprecated"):
            part.options.ClearExtension(option) if option.is_extension else part.options.ClearField(option.name)
    if not part.options.ListFields():
        part.ClearField("options")


def _messages(parts: Iterable[DescriptorProto]) -> Iterator[DescriptorProto]:
    for message in parts:
        yield message
        yield from _messages(message.nested_type)


def _defines(file: FileDescriptorProto) -> Iterator[str]:
    yield from (f"{file.package}.{part.name}" for part in (*file.message_type, *file.enum_type))


def _dependencies(file: FileDescriptorProto, found: Index) -> set[str]:
    """The files that define what this one refers to: types, extended options, options in use."""
    messages = list(_messages(file.message_type))
    fields = [field for message in messages for field in message.field]
    methods = [method for service in file.service for method in service.method]
    names = {name for field in (*fields, *file.extension) for name in (field.type_name, field.extendee)}
    names |= {name for method in methods for name in (method.input_type, method.output_type)}
    options = {option.full_name for part in (*messages, *fields, *methods)
               for option, _ in part.options.ListFields() if option.is_extension}  # fmt: skip
    return {found.files[name] for name in {name.removeprefix(".") for name in names if name} | options} - {file.name}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only")
    packed = " and ".join(PACKAGES)
    parser.add_argument("--tarball", type=Path, action="append", help=f"the packed {packed}, instead of asking npm")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        everything = compile_protos(Path(folder), arguments.tarball or ())
    found = contract_book.index(everything)
    kept = closure(found)
    book = contract_book.write(found, kept, ", ".join(PACKAGES))  # before pruning: it reads what pruning drops
    built = {"book.json": book, "vertex.binpb": prune(everything, found, kept).SerializeToString(deterministic=True)}
    stale = [name for name, data in built.items() if not (CONTRACT / name).exists() or
             (CONTRACT / name).read_bytes() != data]  # fmt: skip
    for name in stale:
        if arguments.check:
            print(f"{name} is not what the packages give; run tools/build_contract.py and review the change.")
        else:
            (CONTRACT / name).write_bytes(built[name])
            print(f"wrote {CONTRACT / name}, {len(built[name])} bytes")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
