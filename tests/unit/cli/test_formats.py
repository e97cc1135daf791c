"""--format: gcloud's spellings, and a sentence for what is none."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from trainyard.cli.formats import Format, parse_format, table_lines, value_at, write
from trainyard.cli.problems import Usage

JOB = {
    "name": "projects/1/locations/l/customJobs/7",
    "displayName": "größe",
    "labels": {"team": "vision"},
    "jobSpec": {"workerPoolSpecs": [{"replicaCount": "1"}, {"replicaCount": "2"}]},
}


def printed(text: str, *, many: bool = True) -> str:
    out = io.StringIO()
    write([JOB, {**JOB, "labels": {}}] if many else [JOB], parse_format(text), many=many, out=out)
    return out.getvalue()


def test_json_of_one_is_an_object_and_of_many_a_list() -> None:
    """json prints what a JSON parser reads back."""
    assert json.loads(printed("json", many=False)) == JOB
    assert len(json.loads(printed("json"))) == 2


def test_yaml_of_many_is_a_document_each() -> None:
    """yaml prints documents that a YAML parser reads back, people's letters unescaped."""
    assert next(iter(yaml.safe_load_all(printed("yaml")))) == JOB
    assert "größe" in printed("yaml", many=False)


def test_value_prints_fields_between_tabs() -> None:
    """value(...) prints one line per resource; what is absent is empty."""
    assert printed("value(name.basename(),labels.team)") == "7\tvision\n7\t\n"


def test_csv_has_a_heading_and_quotes_what_needs_it() -> None:
    """csv(...) is read back by any CSV reader."""
    assert printed("csv(displayName,labels)", many=False) == 'display_name,labels\ngröße,"{""team"": ""vision""}"\n'


def test_table_of_fields_is_aligned() -> None:
    """table(...) has a heading per field and no trailing blanks."""
    lines = printed("table(name.basename(),labels.team)").splitlines()
    assert lines == ["NAME  TEAM", "7     vision", "7"]


def test_none_prints_nothing() -> None:
    """none and disable print nothing at all."""
    assert printed("none") == printed("disable") == ""


def test_a_table_without_rows_is_nothing() -> None:
    """A table without rows has no heading either."""
    assert list(table_lines(("A",), [])) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jobSpec.workerPoolSpecs[1].replicaCount", "2"),
        ("job_spec.worker_pool_specs[-1].replica_count", "2"),
        ("jobSpec.workerPoolSpecs[9].replicaCount", None),
        ("name.displayName", None),
        ('labels."team"', "vision"),
        ("missing.basename()", None),
    ],
)
def test_a_field_is_found_by_its_path(field: str, value: str | None) -> None:
    """Paths reach into objects and lists, in either spelling; what is not there is None."""
    assert value_at(JOB, field) == value


@pytest.mark.parametrize("text", ["xml", "json(name)", "value", "csv", "value()", "table(a,)", "value(a b)", ""])
def test_what_is_no_format_is_refused(text: str) -> None:
    """A format that can't be meant is refused before anything is asked of the service."""
    with pytest.raises(Usage):
        parse_format(text)


def test_a_bare_table_leaves_the_columns_to_the_command() -> None:
    """`table` alone is the command's own table."""
    assert parse_format("table") == Format("table")
