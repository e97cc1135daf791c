"""Conformance cases 40 to 50: listing jobs, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from edge_server import Api, Server, minimal, running


def names(api: Api, query: str = "") -> list[str]:
    answer = api.list(query)
    assert answer.status == 200, answer.body
    return [job["displayName"] for job in answer.json.get("customJobs", [])]


def matching(api: Api, text: str) -> set[str]:
    found = names(api, f"?filter={quote(text)}&pageSize=100")
    assert len(found) == len(set(found))
    return set(found)


def test_case_40_an_empty_list_has_no_key(api: Api) -> None:
    """An empty location gives 200 `{}` with no customJobs key."""
    answer = api.list()
    assert (answer.status, answer.json) == (200, {})


@pytest.fixture(scope="module")
def many(server: Server) -> Iterator[Api]:
    """25 jobs, j0 to j24, in this order; every fifth labelled env=prod, others env=dev, j24 without any."""
    api = Api(server.port, "p-listing")
    for number in range(25):
        labels = {"env": "prod" if number % 5 == 0 else "dev", "n": str(number)}
        api.made(running("true") | {"displayName": f"j{number}", "labels": labels if number < 24 else {}})
    yield api
    api.close()


def test_case_41_pages_join_up(many: Api) -> None:
    """25 jobs by pages of 10 come as 10, 10, 5; the third has no nextPageToken; all of them, none twice."""
    token, pages = "", []
    while True:
        page = many.list(f"?pageSize=10&pageToken={quote(token)}").json
        pages.append([job["displayName"] for job in page["customJobs"]])
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == [f"j{n}" for n in reversed(range(25))]


def test_case_42_page_sizes(many: Api) -> None:
    """pageSize 0 or absent is the default; negative is a 400; huge is clamped."""
    assert len(names(many)) == len(names(many, "?pageSize=0")) == 25
    assert many.list("?pageSize=-1").status == 400
    assert len(names(many, "?pageSize=2147483647")) == 25
    assert many.list("?pageSize=2147483648").status == 400
    assert many.list("?pageSize=x").status == 400


def test_case_43_bad_page_tokens(many: Api) -> None:
    """A bad pageToken is a 400; so is one that was given for another filter."""
    for token in ("x", "%00", "A" * 5000):
        answer = many.list(f"?pageToken={token}")
        assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    token = many.list("?pageSize=5").json["nextPageToken"]
    assert many.list(f"?pageSize=5&pageToken={quote(token)}&filter={quote('labels.env=dev')}").status == 400


def test_case_44_states_and_names(api: Api) -> None:
    """`state=`, `state!=`, a prefix wildcard and an exact name give the correct subsets."""
    good = api.made(running("true") | {"displayName": "my_job"})
    bad = api.made(running("false") | {"displayName": "other"})
    api.wait(good["name"])
    api.wait(bad["name"])
    assert matching(api, 'state="JOB_STATE_SUCCEEDED"') == {"my_job"}
    assert matching(api, 'state!="JOB_STATE_SUCCEEDED"') == {"other"}
    assert matching(api, 'displayName:"my_*"') == {"my_job"}
    assert matching(api, 'displayName="my_job"') == {"my_job"}
    assert matching(api, 'displayName="my_"') == set()


def test_case_45_times(api: Api) -> None:
    """`createTime>"2021-05-18T00:00:00Z"` and `<=`, mixed by AND."""
    api.made(minimal(displayName="now"))
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert matching(api, 'createTime>"2021-05-18T00:00:00Z"') == {"now"}
    assert matching(api, 'createTime<="2021-05-18T00:00:00Z"') == set()
    assert matching(api, f'createTime>"2021-05-18T00:00:00Z" AND createTime<="{later}"') == {"now"}


def test_case_46_labels(many: Api) -> None:
    """`labels.env=prod` and `labels.env:*`; a job without the label never matches equality."""
    assert matching(many, "labels.env=prod") == {"j0", "j5", "j10", "j15", "j20"}
    assert matching(many, "labels.env:*") == {f"j{n}" for n in range(24)}
    assert "j24" not in matching(many, 'labels.env="dev"')


def test_case_47_or_binds_tighter_than_and(api: Api) -> None:
    """`a OR b AND c` is (a OR b) AND c, by AIP-160."""
    for name in ("x", "y"):
        api.wait(api.made(running("false") | {"displayName": name})["name"])
    text = 'state="JOB_STATE_FAILED" OR state="JOB_STATE_CANCELLED" AND displayName="x"'
    assert matching(api, text) == {"x"}


def test_case_48_not_and_snake_case(api: Api) -> None:
    """`NOT displayName="x"`, `-displayName="x"`; snake_case `display_name`, `create_time` are accepted."""
    for name in ("x", "y"):
        api.made(minimal(displayName=name))
    for text in ('NOT displayName="x"', '-displayName="x"', 'NOT display_name="x"', 'display_name!="x"'):
        assert matching(api, text) == {"y"}
    assert matching(api, 'create_time>"2021-05-18T00:00:00Z"') == {"x", "y"}


@pytest.mark.parametrize(
    "text", ["nope=1", 'displayName="x', "((state=", "AND", "state>1", 'createTime="yesterday"', "=" * 50]
)
def test_case_49_bad_filters(api: Api, text: str) -> None:
    """`filter=nope=1` and an unbalanced quote are a 400 INVALID_ARGUMENT."""
    answer = api.list(f"?filter={quote(text)}")
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")


def test_case_50_read_masks(api: Api) -> None:
    """`readMask=name,displayName` gives only those in each item."""
    for _ in range(2):
        api.made()
    for mask in ("name,displayName", "name,display_name"):
        jobs = api.list(f"?readMask={quote(mask)}").json["customJobs"]
        assert [job.keys() for job in jobs] == [{"name", "displayName"}] * 2
    assert api.list("?readMask=nope").status == 400
