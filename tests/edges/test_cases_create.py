"""Conformance cases 1 to 30: creating a job, over the wire."""

from __future__ import annotations

import copy
import re
from datetime import timedelta
from typing import Any

import pytest
from edge_server import MINIMAL, Api, Server, minimal, pool, pools


def refused(api: Api, body: Any, *said: str, version: str = "v1") -> Any:
    """The error of a create that must be refused as an invalid argument, and leave nothing behind."""
    answer = api.create(body, version=version)
    assert answer.status == 400, answer.body
    assert answer.error["code"] == 400
    assert answer.error["status"] == "INVALID_ARGUMENT"
    for words in said:
        assert words in answer.error["message"], answer.error["message"]
    assert api.list().json == {}
    return answer


def accepted(api: Api, body: Any, version: str = "v1") -> Any:
    return api.made(body, version)


def test_case_01_a_job_is_created(api: Api) -> None:
    """POST M gives a CustomJob: server-made name, QUEUED or PENDING, createTime = updateTime, no start, end, error."""
    job = accepted(api, MINIMAL)
    assert re.fullmatch(r"projects/\d+/locations/us-central1/customJobs/\d+", job["name"])
    assert job["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING")
    assert job["createTime"] == job["updateTime"]
    assert not {"startTime", "endTime", "error"} & job.keys()


def test_case_02_int64_comes_back_as_a_string(api: Api) -> None:
    """`replicaCount` comes back as the string "1"."""
    assert accepted(api, MINIMAL)["jobSpec"]["workerPoolSpecs"][0]["replicaCount"] == "1"


def snake(value: Any) -> Any:
    """The same JSON with snake_case keys."""
    if isinstance(value, dict):
        return {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), key): snake(each) for key, each in value.items()}
    return [snake(each) for each in value] if isinstance(value, list) else value


def test_case_03_snake_case_is_understood(api: Api) -> None:
    """The same body with snake_case keys makes an identical resource, with a camelCase reply."""
    camel, under = accepted(api, MINIMAL), accepted(api, snake(MINIMAL))
    assert snake(MINIMAL) != MINIMAL
    assert under["jobSpec"] == camel["jobSpec"]
    assert under["displayName"] == camel["displayName"]


@pytest.mark.parametrize("count", ["1", 1])
def test_case_04_int64_is_read_from_string_and_number(api: Api, count: str | int) -> None:
    """replicaCount as "1" and as 1 are both accepted."""
    assert accepted(api, pools(pool(replicaCount=count)))["jobSpec"]["workerPoolSpecs"][0]["replicaCount"] == "1"


def test_case_05_enums_are_ints_when_asked(api: Api) -> None:
    """`?$alt=json;enum-encoding=int` gives `state` as an int; without it, the name."""
    for query in ("?$alt=json;enum-encoding=int", "?%24alt=json%3Benum-encoding%3Dint"):
        assert api.create(query=query).json["state"] in (1, 2)
    assert isinstance(api.create(query="?alt=json").json["state"], str)


@pytest.mark.parametrize("strategy", [4, "SPOT"])
def test_case_06_enums_are_read_by_number_and_name(api: Api, strategy: int | str) -> None:
    """`scheduling.strategy: 4` or "SPOT" is accepted; it reads back "SPOT"."""
    job = accepted(api, pools(pool(), scheduling={"strategy": strategy}))
    assert job["jobSpec"]["scheduling"]["strategy"] == "SPOT"


def test_case_07_durations_read_back_as_proto_json_writes_them(api: Api) -> None:
    """`scheduling.timeout: "3.5s"` reads back "3.500s"."""
    job = accepted(api, pools(pool(), scheduling={"timeout": "3.5s"}))
    assert job["jobSpec"]["scheduling"]["timeout"] == "3.500s"


def test_case_08_a_duration_needs_its_s(api: Api) -> None:
    """timeout "5" (no `s`) is a 400 INVALID_ARGUMENT with fieldViolations."""
    answer = refused(api, pools(pool(), scheduling={"timeout": "5"}))
    assert [each["field"] for each in answer.violations] == ["custom_job.job_spec.scheduling.timeout"]


def test_case_09_a_display_name_is_required(api: Api) -> None:
    """Missing displayName is a 400 whose message names display_name."""
    refused(api, minimal(displayName=None), "display_name")
    refused(api, minimal(displayName=""), "display_name")


def test_case_10_display_names_have_128_characters_at_most(api: Api) -> None:
    """displayName of 129 characters is a 400; 128 is accepted, non-ASCII 128 code points too."""
    refused(api, minimal(displayName="x" * 129), "display_name")
    assert accepted(api, minimal(displayName="x" * 128))["displayName"] == "x" * 128
    assert accepted(api, minimal(displayName="駅" * 128))["displayName"] == "駅" * 128


def test_case_11_a_job_spec_is_required(api: Api) -> None:
    """Missing jobSpec is a 400; so are empty workerPoolSpecs."""
    refused(api, minimal(jobSpec=None), "job_spec")
    refused(api, minimal(jobSpec={}), "job_spec.worker_pool_specs")
    refused(api, pools(), "job_spec.worker_pool_specs")


@pytest.mark.parametrize("count", [2, -1])
def test_case_12_the_primary_pool_has_one_replica(api: Api, count: int) -> None:
    """Pool 0 with `replicaCount` 2 is a 400 naming `job_spec.worker_pool_specs[0].replica_count`."""
    refused(api, pools(pool(replicaCount=count)), "job_spec.worker_pool_specs[0].replica_count")


PACKAGE = {"executorImageUri": "img", "packageUris": ["gs://b/p.tar.gz"], "pythonModule": "m.task"}


def test_case_13_a_oneof_is_set_once(api: Api) -> None:
    """Both containerSpec and pythonPackageSpec in a pool over REST is a 400: the oneof is set twice."""
    refused(api, pools(pool(pythonPackageSpec=PACKAGE)), "oneof")


def test_case_14_a_pool_must_run_something(api: Api) -> None:
    """Neither containerSpec nor pythonPackageSpec is a 400."""
    refused(api, pools(pool(containerSpec=None)), "job_spec.worker_pool_specs[0]")


def test_case_15_pools_may_be_skipped(api: Api) -> None:
    """Pool 1 `{}` and pool 2 filled is accepted."""
    specs = accepted(api, pools(pool(), {}, pool()))["jobSpec"]["workerPoolSpecs"]
    assert [spec.get("replicaCount") for spec in specs] == ["1", None, "1"]


def test_case_16_there_are_four_pools_at_most(api: Api) -> None:
    """Five pools is a 400."""
    refused(api, pools(*[pool()] * 5), "job_spec.worker_pool_specs")
    accepted(api, pools(*[pool()] * 4))


def test_case_17_accelerator_type_and_count_come_together(api: Api) -> None:
    """accelerator_type without count is a 400 with "List of found errors:" and `1.Field: …accelerator_type`."""
    half = {"machineType": "n1-standard-4", "acceleratorType": "NVIDIA_TESLA_T4"}
    where = "1.Field: job_spec.worker_pool_specs[0].machine_spec.accelerator_type"
    refused(api, pools(pool(machineSpec=half)), "List of found errors:", where)


def test_case_18_all_faults_are_told_at_once(api: Api) -> None:
    """Two faults in one request give one message, numbered 1 and 2, tab-separated."""
    message = refused(api, pools(pool(replicaCount=2)) | {"displayName": ""}).error["message"]
    assert re.fullmatch(r"List of found errors:\t1\.Field: .*; Message: .*\t2\.Field: .*; Message: .*\t ", message)


def test_case_19_unknown_machine_types_are_refused(api: Api) -> None:
    """Unknown machineType is a 400 `Machine type … is not supported.`"""
    refused(api, pools(pool(machineSpec={"machineType": "n7-huge-1"})), "n7-huge-1", "is not supported")


@pytest.mark.parametrize(
    "labels",
    [{f"k{n}": "v" for n in range(65)}, {"Foo": "v"}, {"k": "v" * 65}, {"k" * 65: "v"}, {"k": "Value"}],
    ids=["65 labels", "capital key", "long value", "long key", "capital value"],
)
def test_case_20_labels_keep_their_rules(api: Api, labels: dict[str, str]) -> None:
    """65 labels, label key `Foo`, a value of 65 characters, a key of 65: a 400 each."""
    refused(api, minimal(labels=labels), "labels")


def test_case_20_labels_at_their_limits(api: Api) -> None:
    """64 labels and a 63-character value are accepted."""
    labels = {f"k{n}": "v" * 63 for n in range(64)}
    assert accepted(api, minimal(labels=labels))["labels"] == labels


def with_env(*entries: dict[str, str]) -> dict[str, Any]:
    return pools(pool(containerSpec={"imageUri": "img", "env": list(entries)}))


def test_case_21_environments_have_100_variables_at_most(api: Api) -> None:
    """101 env entries is a 400; 100 are accepted; the name `1A` is a 400."""
    many = [{"name": f"V{n}", "value": "x"} for n in range(101)]
    refused(api, with_env(*many), "env")
    refused(api, with_env({"name": "1A", "value": "x"}), "env[0].name")
    accepted(api, with_env(*many[:100]))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"packageUris": [f"gs://b/{n}.tar.gz" for n in range(101)]}, "package_uris"),
        ({"pythonModule": ""}, "python_module"),
        ({"packageUris": ["http://b/p.tar.gz"]}, "package_uris[0]"),
        ({"packageUris": []}, "package_uris"),
    ],
)
def test_case_22_packages_keep_their_rules(api: Api, change: dict[str, Any], field: str) -> None:
    """101 packageUris, a missing pythonModule, a packageUri that is not `gs://`: a 400 each."""
    refused(api, pools(pool(containerSpec=None, pythonPackageSpec=PACKAGE | change)), field)


def test_case_23_unknown_fields_are_refused(api: Api) -> None:
    """An unknown JSON field `foo` is a 400 `Unknown name "foo" at 'custom_job'`."""
    answer = refused(
        api, minimal(foo=1), "Invalid JSON payload received. Unknown name \"foo\" at 'custom_job': Cannot find field."
    )
    assert [each["field"] for each in answer.violations] == ["custom_job"]


def test_case_24_v1_knows_less_than_v1beta1(api: Api) -> None:
    """v1beta1's `minGpuDriverVersion` is accepted there; on v1 it is an unknown field."""
    spec = {"machineType": "n1-standard-4", "minGpuDriverVersion": "535"}
    refused(api, pools(pool(machineSpec=spec)), 'Unknown name "minGpuDriverVersion"')
    job = accepted(api, pools(pool(machineSpec=spec)), "v1beta1")
    assert job["jobSpec"]["workerPoolSpecs"][0]["machineSpec"] == spec
    in_v1 = api.get(job["name"]).json
    assert in_v1["jobSpec"]["workerPoolSpecs"][0]["machineSpec"] == {"machineType": "n1-standard-4"}


def test_case_25_output_only_fields_are_the_servers(api: Api) -> None:
    """Output-only fields sent (`state`, `name`) are ignored; the reply has the server's values."""
    sent = minimal(
        state="JOB_STATE_SUCCEEDED", name="projects/1/locations/x/customJobs/7", endTime="2020-01-01T00:00:00Z"
    )
    job = accepted(api, sent)
    assert job["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING")
    assert not job["name"].endswith("/7")
    assert "endTime" not in job


def test_case_26_the_output_directory_gets_its_slash(api: Api) -> None:
    """baseOutputDirectory `gs://b/out` (no slash) gives AIP_MODEL_DIR `gs://b/out/model/`."""
    spec = {"imageUri": "host", "command": ["sh", "-c", "echo dir=$AIP_MODEL_DIR"]}
    job = accepted(api, pools(pool(containerSpec=spec), baseOutputDirectory={"outputUriPrefix": "gs://b/out"}))
    assert api.wait(job["name"])["state"] == "JOB_STATE_SUCCEEDED"
    logs = api.call("GET", f"/trainyard/v1/{job['name']}/logs/workerpool0-0/stdout")
    assert logs.body == b"dir=gs://b/out/model/\n"


def test_case_27_max_wait_is_for_flex_start(api: Api) -> None:
    """maxWaitDuration with STANDARD is a 400; with FLEX_START it is accepted."""
    gpu = pool(machineSpec={"machineType": "g2-standard-4", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1})
    wait = {"maxWaitDuration": "60s"}
    refused(api, pools(gpu, scheduling={"strategy": "STANDARD", **wait}), "max_wait_duration")
    accepted(api, pools(gpu, scheduling={"strategy": "FLEX_START", **wait}))


BOARD = "projects/1/locations/us-central1/tensorboards/1"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"baseOutputDirectory": {"outputUriPrefix": "gs://b/o"}}, "service_account"),
        ({"serviceAccount": "a@b.iam.gserviceaccount.com"}, "base_output_directory"),
    ],
)
def test_case_28_tensorboard_needs_account_and_directory(api: Api, spec: dict[str, Any], field: str) -> None:
    """tensorboard without serviceAccount, or without baseOutputDirectory, is a 400."""
    refused(api, pools(pool(), tensorboard=BOARD, **spec), field)


@pytest.mark.parametrize("text", [b"{", b"nonsense", b'{"displayName": "\xff"}', b"[]", b'"x"', b"7"])
def test_case_29_a_body_must_be_json(api: Api, text: bytes) -> None:
    """A body that is not JSON (or no JSON object) is a 400."""
    refused(api, text)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_case_29_the_content_type_is_not_looked_at(api: Api, content_type: str) -> None:
    """A wrong Content-Type is tolerated."""
    answer = api.call("POST", f"{api.parent}/customJobs", copy.deepcopy(dict(MINIMAL)), {"Content-Type": content_type})
    assert answer.status == 200, answer.body


def test_case_30_grpc_makes_the_same_job(server: Server, api: Api) -> None:
    """gRPC CreateCustomJob with int enum and Duration makes the same stored job, readable over REST."""
    from grpc_calls import Grpc

    with Grpc(server.port) as grpc:
        request = grpc.message("CreateCustomJobRequest", parent=api.parent)
        request.custom_job.display_name = "t"
        spec = request.custom_job.job_spec.worker_pool_specs.add(replica_count=1)
        spec.machine_spec.machine_type = "n1-standard-4"
        spec.container_spec.image_uri = "img"
        spec.container_spec.args.append("x")
        request.custom_job.job_spec.scheduling.strategy = 4
        request.custom_job.job_spec.scheduling.timeout.FromTimedelta(timedelta(seconds=3.5))
        made = grpc.call("JobService/CreateCustomJob", request, "CustomJob")
    over_rest = api.get(made.name).json
    same = accepted(api, pools(pool(), scheduling={"strategy": "SPOT", "timeout": "3.5s"}))
    assert over_rest["jobSpec"] == same["jobSpec"]
    assert over_rest["jobSpec"]["scheduling"] == {"timeout": "3.500s", "strategy": "SPOT"}


def test_case_13_on_the_grpc_wire_the_last_of_a_oneof_wins(server: Server, api: Api) -> None:
    """On the gRPC wire the last member of a oneof simply wins."""
    from grpc_calls import Grpc

    with Grpc(server.port) as grpc:
        request = grpc.message("CreateCustomJobRequest", parent=api.parent)
        request.custom_job.display_name = "t"
        spec = request.custom_job.job_spec.worker_pool_specs.add(replica_count=1)
        spec.machine_spec.machine_type = "n1-standard-4"
        spec.python_package_spec.executor_image_uri = "img"
        spec.container_spec.image_uri = "img"
        made = grpc.call("JobService/CreateCustomJob", request, "CustomJob")
    assert made.job_spec.worker_pool_specs[0].WhichOneof("task") == "container_spec"
