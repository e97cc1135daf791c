"""Query parameters that every Google API takes and that say how to answer, not what to do.

From cloud.google.com/apis/docs/system-parameters and the discovery document; each may be spelled with a `$` before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from trainyard.contract.json_faults import JsonFault, JsonFaults, shown

Query = Sequence[tuple[str, str]]
"""Query parameters, decoded, in the order of the URL."""

_NAMES = frozenset({
    "alt", "fields", "prettyPrint", "key", "access_token", "oauth_token", "quotaUser", "userProject", "callback",
    ".xgafv", "ct", "uploadType", "upload_protocol", "userIp", "trace", "unique", "req",
})  # fmt: skip
_MAX_PARAMETERS = 1000


@dataclass(frozen=True, slots=True)
class SystemParameters:
    """How to answer.

    `alt` is `json` or `proto`; `fields` the text of a field mask or empty; `key` an API key; `access_token` a bearer
    token given in the URL; `quota_user` and `user_project` whom to count the request to.
    """

    alt: str = "json"
    enums_as_ints: bool = False
    pretty: bool = True
    fields: str = ""
    key: str = ""
    access_token: str = ""
    quota_user: str = ""
    user_project: str = ""


_AS_EVER = SystemParameters()


def read_query(raw: str) -> Query:
    """The pairs of a URL's query (without `?`), decoded once; raises JsonFaults where it is no UTF-8 or endless."""
    if not raw:
        return ()
    try:
        return parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise JsonFaults(JsonFault("", f"Invalid query string: {error}.")) from None


def is_system(name: str) -> bool:
    """Whether a query parameter is one of these."""
    return name.removeprefix("$") in _NAMES


def system_parameters(query: Query, field_mask: str = "") -> SystemParameters:
    """What the query says about the answer's form; `field_mask` is the X-Goog-FieldMask header.

    Raises JsonFaults for a form that there is not: `alt=media`, an unknown option of `alt`, `callback` (JSONP).
    """
    if not query and not field_mask:
        return _AS_EVER
    given = {name.removeprefix("$"): value for name, value in query if is_system(name)}
    faults: list[JsonFault] = []
    alt, enums_as_ints = _alt(given.get("alt", "json"), faults)
    pretty = _flag("prettyPrint", given.get("prettyPrint", "true"), faults)
    if given.get(".xgafv", "2") not in ("1", "2"):
        faults.append(_invalid("$.xgafv", given[".xgafv"], "is 1 or 2"))
    if "callback" in given:
        faults.append(_invalid("callback", given["callback"], "JSONP is not offered; answers are JSON"))
    if faults:
        raise JsonFaults(*faults)
    return SystemParameters(
        alt=alt,
        enums_as_ints=enums_as_ints,
        pretty=pretty,
        fields=given.get("fields", field_mask),
        key=given.get("key", ""),
        access_token=given.get("access_token", given.get("oauth_token", "")),
        quota_user=given.get("quotaUser", ""),
        user_project=given.get("userProject", ""),
    )


def _alt(text: str, faults: list[JsonFault]) -> tuple[str, bool]:
    """`json;enum-encoding=int` -> ("json", True)."""
    form, *options = text.split(";")
    if form not in ("json", "proto"):
        faults.append(_invalid("alt", text, "answers are json or proto"))
    if set(options) - {"enum-encoding=int", "enum-encoding=string"}:
        faults.append(_invalid("alt", text, "the only option is enum-encoding, int or string"))
    return form, "enum-encoding=int" in options


def _flag(name: str, text: str, faults: list[JsonFault]) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        faults.append(_invalid(name, text, "is true or false"))
    return text.lower() in ("true", "1")


def _invalid(name: str, value: str, why: str) -> JsonFault:
    return JsonFault(name, f"Invalid value at '{name}' ({why}), {shown(value)}", name)
