"""Conformance: the cases of writing, by their numbers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from trainyard.core.jobs import Decision, Intent
from trainyard.core.states import Event
from trainyard.edges.sql.session import SqlEngine
from trainyard.service.access import Caller

from .ground import Ground, T, W, nas_spec, pools

DESPATCHED = "The operation was despatched successfully"
SPEC = json.dumps(pools("n1-standard-4"))
INTO = f"INSERT INTO {T}(projectsId, locationsId, displayName, jobSpec)"
NEW = f"SELECT displayName, state, labels, jobSpec, encryptionSpec FROM {T} WHERE {W} ORDER BY createTime DESC LIMIT 1"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def newest(ground: Ground) -> dict[str, Any]:
    """The newest job of p1."""
    return ground.ask(NEW).dicts[0]


def test_case_39_the_documented_insert(ground: Ground) -> None:
    """JSON texts arrive as objects; nothing is shown but that it was despatched."""
    told = ground.ask(
        f"""/*+ create */
INSERT INTO google.aiplatform.custom_jobs (
locationsId,
projectsId,
displayName,
encryptionSpec,
labels,
jobSpec
)
SELECT{" "}
'us-central1',
'p1',
'mine',
'',
'{{"team":"z"}}',
'{SPEC}'
;"""
    )
    assert (told.rows, told.columns, told.message) == ([], None, DESPATCHED)
    job = newest(ground)
    assert (job["displayName"], job["labels"]) == ("mine", '{"team":"z"}')
    assert json.loads(job["jobSpec"]) == pools("n1-standard-4")


def test_case_40_prefixed_columns_and_returning(ground: Ground) -> None:
    """`data__` means the same; RETURNING shows the server's row."""
    (row,) = ground.ask(
        f"INSERT INTO {T} ( data__displayName, data__jobSpec, projectsId, locationsId ) "
        f"SELECT 'mine', '{SPEC}', 'p1', 'us-central1' RETURNING name, createTime, displayName, encryptionSpec, "
        "endTime, error, jobSpec, labels, satisfiesPzi, satisfiesPzs, startTime, state, updateTime, webAccessUris"
    ).dicts
    assert (row["state"], row["displayName"]) == ("JOB_STATE_QUEUED", "mine")
    assert "/customJobs/" in row["name"]
    whole = ground.ask(f"{INTO} VALUES ('p1', 'us-central1', 'b2', '{SPEC}') RETURNING *")
    assert len(whole.names) == 14
    own = ground.ask(f"{INTO} VALUES ('p1', 'us-central1', 'b3', '{SPEC}') RETURNING customJobsId, projectsId").rows[0]
    assert own[0].isdecimal()
    assert own[1] == "p1"


def test_case_41_several_rows(ground: Ground) -> None:
    """Two jobs by one statement."""
    told = ground.ask(f"{INTO} VALUES ('p1','us-central1','r1','{SPEC}'), ('p1','us-central1','r2','{SPEC}')")
    assert told.tag == "INSERT 0 2"
    assert ground.names()[-2:] == ["r1", "r2"]


@pytest.mark.parametrize(
    "values",
    [
        "VALUES ('p1','us-central1','x')",
        "SELECT 'p1','us-central1','x'",
        f"VALUES ('p1','us-central1','x','{SPEC}'), (1)",
    ],
)
def test_case_42_as_many_values_as_columns(ground: Ground, values: str) -> None:
    """Else nothing is created."""
    before = ground.names()
    assert "disparity in fields to insert and supplied data" in ground.refused(f"{INTO} {values}").message
    assert ground.names() == before


@pytest.mark.parametrize(("text", "name"), [("it''s", "it's"), (r"a\'b", "a'b"), ("x;y", "x;y"), (r"a\\b", "a\\b")])
def test_case_43_quotes_backslashes_and_semicolons(ground: Ground, text: str, name: str) -> None:
    """A text may hold them all."""
    ground.ask(f"{INTO} VALUES ('p1','us-central1','{text}','{SPEC}')")
    assert ground.names()[-1] == name


ARGS = ['say "hi"', "a\nb"]
RAW = json.dumps(
    {
        "workerPoolSpecs": [
            {**pools("n1-standard-4")["workerPoolSpecs"][0], "containerSpec": {"imageUri": "i", "args": ARGS}}
        ]
    }
)


@pytest.mark.parametrize("text", [RAW, RAW.replace("\\", "\\\\")], ids=["case_44", "case_45"])
def test_case_44_45_backslashes_of_json(ground: Ground, text: str) -> None:
    """As they stand, or doubled as StackQL needs them: the same body."""
    ground.ask(f"{INTO} VALUES ('p1','us-central1','x','{text}')")
    assert json.loads(newest(ground)["jobSpec"])["workerPoolSpecs"][0]["containerSpec"]["args"] == ARGS


def test_case_46_string_stays_text(ground: Ground) -> None:
    """Whatever it looks like."""
    ground.ask(f"""{INTO} VALUES ('p1','us-central1',string('{{"a":1}}'),'{SPEC}')""")
    assert ground.names()[-1] == '{"a":1}'


def test_case_47_an_unquoted_truth(ground: Ground) -> None:
    """The documented INSERT of nas_jobs: `true` arrives as a truth."""
    told = ground.ask(
        f"""/*+ create */
INSERT INTO google.aiplatform.nas_jobs (
locationsId,
projectsId,
enableRestrictedImageTraining,
labels,
nasJobSpec,
displayName,
encryptionSpec
)
SELECT{" "}
'us-central1',
'p1',
true,
'{{"team":"z"}}',
'{json.dumps(nas_spec())}',
'nas',
''
;"""
    )
    assert told.message == DESPATCHED
    select = f"SELECT enableRestrictedImageTraining, nasJobSpec FROM google.aiplatform.nas_jobs WHERE {W}"
    ((truth, spec),) = ground.rows(f"{select} AND enableRestrictedImageTraining = 'true'")
    assert (truth, json.loads(spec)) == (1, nas_spec())


def pairs(**fields: Any) -> list[dict[str, Any]]:
    """An object as the manifests write it."""
    return [{"name": name, "value": value} for name, value in fields.items()]


def test_case_48_name_value_lists_are_folded(ground: Ground) -> None:
    """By schema: `env` really has these two fields and stays."""
    env = [{"name": "A", "value": "1"}]
    container = pairs(imageUri="img", args=["x"], env=env)
    pool = pairs(machineSpec=pairs(machineType="n1-standard-4"), replicaCount="1", containerSpec=container)
    spec = pairs(workerPoolSpecs=[pool], scheduling=pairs(timeout="60s", disableRetries="true"))
    ground.ask(f"{INTO} VALUES ('p1','us-central1','folded','{json.dumps(spec)}')")
    made = json.loads(newest(ground)["jobSpec"])
    assert made["workerPoolSpecs"][0]["containerSpec"] == {"imageUri": "img", "args": ["x"], "env": env}
    assert made["scheduling"] == {"timeout": "60s", "disableRetries": True}


def test_case_49_a_missing_spec(ground: Ground) -> None:
    """The service's own refusal, in StackQL's wording."""
    error = ground.refused(f"INSERT INTO {T}(projectsId, locationsId, displayName) VALUES ('p1','us-central1','x')")
    assert error.message.startswith("http response status code: 400, response body: {")


def test_case_50_unknown_fields_are_refused_before_the_call(ground: Ground) -> None:
    """With the path, and the nearest right name."""
    error = ground.refused(f"INSERT INTO {T}(projectsId, locationsId, jobSpek) VALUES ('p1','us-central1','{{}}')")
    assert (error.message, error.hint) == ("jobSpek: unknown field", "Did you mean jobSpec?")
    wrong = SPEC.replace("machineType", "machineTyp")
    error = ground.refused(f"{INTO} VALUES ('p1','us-central1','x','{wrong}')")
    assert error.message == "jobSpec.workerPoolSpecs[0].machineSpec.machineTyp: unknown field"
    assert error.hint == "Did you mean machineType?"
    assert "CreateCustomJob" not in ground.calls


def test_case_51_await(ground: Ground) -> None:
    """The row comes when the state is final."""

    async def story() -> list[Any]:
        engine = SqlEngine(ground.service, ground.data_dir, timeout_seconds=0.05)
        session = engine.session(Caller())
        into = INTO.replace("INSERT", "INSERT /*+ AWAIT */")
        asked = f"{into} SELECT 'p1', 'us-central1', 'w', '{SPEC}' RETURNING state"
        running = asyncio.ensure_future(session.run(asked))
        while "w" not in ground.names():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # longer than the timeout: waiting was asked for
        assert not running.done()
        job = ground.job(ground.store._ids[-1])
        assert job is not None
        decision = Decision(job.status).moved(Event.ADMITTED, 5, "room").moved(Event.SUCCEEDED, 6, "done")
        assert await ground.store.commit(job, decision)
        result = await running
        rows = [row async for row in result.rows]
        await engine.close()
        return [result.message, rows]

    assert asyncio.run(story()) == ["The operation completed successfully", [("JOB_STATE_SUCCEEDED",)]]


def test_case_52_a_clone(ground: Ground) -> None:
    """INSERT … SELECT from the jobs themselves."""
    ground.ask(f"{INTO} SELECT 'p1', 'us-central1', displayName, jobSpec FROM {T} WHERE {W} AND customJobsId='1'")
    assert ground.names()[-1] == "a"


def test_case_53_the_documented_delete(ground: Ground) -> None:
    """The job is gone."""
    told = ground.ask(
        "/*+ delete */\nDELETE FROM google.aiplatform.custom_jobs\nWHERE customJobsId = '1'\n"
        "AND locationsId = 'us-central1'\nAND projectsId = 'p1';"
    )
    assert (told.message, told.tag, ground.job(1)) == (DESPATCHED, "DELETE 1", None)


def test_case_54_comments_in_a_delete(ground: Ground) -> None:
    """`--required` ends with its line."""
    ground.ask(
        f"DELETE FROM {T}\nWHERE projectsId = 'p1' --required\nAND locationsId = 'us-central1' --required\n"
        "AND customJobsId = '1' --required\n;"
    )
    assert ground.job(1) is None


def test_case_55_a_delete_needs_ids(ground: Ground) -> None:
    """Without them nothing is deleted, unless ALLOW ALL is said."""
    error = ground.refused(f"DELETE FROM {T} WHERE {W}")
    assert "missing: customJobsId" in error.message
    assert ground.job(1) is not None
    assert ground.ask(f"DELETE FROM {T} WHERE {W} AND state='JOB_STATE_SUCCEEDED' ALLOW ALL").tag == "DELETE 1"
    assert (ground.job(1), ground.job(3) is None) == (None, False)


def test_case_56_several_ids(ground: Ground) -> None:
    """A call for each; where one is refused, the error says which took effect."""
    error = ground.refused(f"DELETE FROM {T} WHERE {W} AND customJobsId IN ('1','2')")
    assert "row 1 of 2" in error.message or "row 2 of 2" in error.message
    assert "JOB_STATE_RUNNING" in error.message
    assert ("Rows 1 to 1 took effect" in error.detail) == (ground.job(1) is None)
    assert ground.ask(f"DELETE FROM {T} WHERE {W} AND customJobsId IN ('1','3')").tag in ("DELETE 2", "DELETE 1")
    assert (ground.job(1), ground.job(3)) == (None, None)


def test_case_57_every_predicate_counts(ground: Ground) -> None:
    """StackQL would have deleted it."""
    told = ground.ask(f"DELETE FROM {T} WHERE {W} AND customJobsId='1' AND state='JOB_STATE_FAILED'")
    assert (told.tag, told.message) == ("DELETE 0", "")
    assert ground.job(1) is not None
    assert "DeleteCustomJob" not in ground.calls


@pytest.mark.parametrize("hint", ["", "/*+ AWAIT */"])
def test_case_58_delete_returning(ground: Ground, hint: str) -> None:
    """The operation's row; a delete is done when it is answered, so AWAIT gives the same."""
    (row,) = ground.ask(f"DELETE {hint} FROM {T} WHERE {W} AND customJobsId='1' RETURNING name, done").rows
    assert "/customJobs/1/operations/" in row[0]
    assert row[1] == 1


CANCEL = f"EXEC {T}.cancel"


def test_case_59_the_documented_exec(ground: Ground) -> None:
    """The cancel is written down."""
    told = ground.ask(f"{CANCEL} @projectsId='p1', @locationsId='us-central1', @customJobsId='2'")
    assert told.message == DESPATCHED
    job = ground.job(2)
    assert job is not None
    assert job.intent is Intent.CANCEL


def test_case_60_exec_with_commas_in_comments(ground: Ground) -> None:
    """The published sample, which StackQL itself cannot read."""
    told = ground.ask(
        f"{CANCEL} \n@projectsId='p1' --required, \n@locationsId='us-central1' --required, \n"
        "@customJobsId='2' --required\n;"
    )
    assert told.message == DESPATCHED


def test_case_61_exec_names_what_is_missing(ground: Ground) -> None:
    """In StackQL's words."""
    error = ground.refused(f"{CANCEL} @projectsId='p1', @locationsId='us-central1'")
    assert "required param not supplied for exec" in error.message
    assert "'customJobsId'" in error.message


def test_case_62_exec_with_a_body(ground: Ground) -> None:
    """An empty one is right, an unknown key is not."""
    arguments = "@projectsId='p1', @locationsId='us-central1', @customJobsId='2'"
    assert ground.ask(f"{CANCEL} {arguments} @@json='{{}}'").message == DESPATCHED
    error = ground.refused(f"""{CANCEL} {arguments}, @@json='{{"zz":1}}'""")
    assert error.message == "schema does not possess payload key 'zz'"


def test_case_63_there_is_no_update(ground: Ground) -> None:
    """And it says so."""
    error = ground.refused(f"UPDATE {T} SET data__labels='{{}}' WHERE {W} AND customJobsId='1'")
    assert "cannot find matching operation" in error.message
    assert "method = 'update'" in error.message


def test_a_partly_done_statement_says_how_far_it_came(ground: Ground) -> None:
    """Which rows took effect, which was refused, how many were not tried."""
    rows = ", ".join(f"('p1','us-central1','{name}','{SPEC}')" for name in ("ok", "x" * 200, "later"))
    error = ground.refused(f"{INTO} VALUES {rows}")
    assert error.detail.startswith("Rows 1 to 1 took effect: projects/")
    assert error.detail.endswith("row 2 was refused; 1 after it were not tried.")
    assert ground.names()[-1] == "ok"
