"""One generated request with what must come of it, and the asking of many in one world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from arm_aks.world import VERSION, World, run
from poolwright.arm.errors import FRONT_DOOR_CODES
from poolwright.model.agent_pool import AGENT_POOL

ABSENT = object()
"""What reads show of a member that they do not have."""


@dataclass
class Case:
    """A request. ``codes`` are what a refusal must be one of: empty for an accepted request, None
    where either may come. ``reads`` is what a GET shows afterwards, by path below properties.
    ``row`` is the key of the property row that the case is about.
    """

    about: str
    method: str
    path: str
    body: Any = None
    version: str | None = VERSION
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    codes: tuple[str, ...] | None = ()
    status: int | None = None
    target: str | None = None
    reads: dict[str, Any] = field(default_factory=dict)
    row: Any = None


@dataclass
class Tally:
    """What a run came to."""

    asked: int = 0
    accepted: set = field(default_factory=set)
    refused: set = field(default_factory=set)
    accepted_count: int = 0
    problems: list[str] = field(default_factory=list)

    def check(self):
        """Fail with the first of what went wrong."""
        shown = "\n".join(self.problems[:60])
        assert not self.problems, f"{len(self.problems)} of {self.asked}:\n{shown}"


def at(wire: Any, path: str) -> Any:
    """The value at a dotted path, or ABSENT."""
    for name in path.split("."):
        if not isinstance(wire, dict) or name not in wire:
            return ABSENT
        wire = wire[name]
    return wire


def nested(path: str, value: Any, needs: dict | None = None) -> dict:
    """``needs`` with the value put at a dotted path."""
    out = dict(needs or {})
    here = out
    *parents, name = path.split(".")
    for parent in parents:
        here[parent] = dict(here.get(parent) or {})
        here = here[parent]
    here[name] = value
    return out


async def fingerprint(world: World) -> dict[str, int]:
    """The revision of every scope of the store: what a refused request leaves as it was."""
    return {
        scope: (await world.store.list(scope, AGENT_POOL))[1]
        for scope in await world.store.scopes("")
    }


def shape_problem(answer: Any) -> str:
    """What is wrong with the body of an error answer, or nothing."""
    body = answer.body
    if not isinstance(body, dict):
        return "an error without an object"
    if isinstance(body.get("error"), str):  # OAuth (RFC 6749 §5.2)
        return "" if body.get("error_description") else "an OAuth error without a description"
    wrapped = isinstance(body.get("error"), dict)
    error = body["error"] if wrapped else body
    code, message = error.get("code"), error.get("message")
    if not (isinstance(code, str) and code and isinstance(message, str) and message):
        return "no code and message"
    if code in FRONT_DOOR_CODES and not wrapped:
        return "a front-door code that is not wrapped"
    if not wrapped and set(body) - {"code", "details", "message", "subcode", "target"}:
        return "members that the flat shape does not have"
    if "Traceback" in message or ".py" in message:
        return "internals in the message"
    return ""


def code_of(answer: Any) -> str:
    """The code of an error answer, whatever its shape."""
    body = answer.body if isinstance(answer.body, dict) else {}
    error = body.get("error", body)
    return error if isinstance(error, str) else str(error.get("code"))


def target_of(answer: Any) -> str | None:
    """The target of an error answer, whatever its shape."""
    error = answer.body.get("error", answer.body)
    return error.get("target") if isinstance(error, dict) else None


async def ask(world: World, case: Case, tally: Tally) -> Any:
    """Ask one request and note what is wrong with its answer."""
    before = await fingerprint(world)
    tally.asked += 1
    try:
        answer = await world.call(
            case.method,
            case.path,
            case.body,
            version=case.version,
            headers=case.headers,
            raw=case.raw,
        )
    except Exception as error:  # noqa: BLE001 - that nothing escapes is what is tested
        tally.problems.append(f"{case.about}: {type(error).__name__}: {error}")
        return None
    found = _problem(case, answer)
    if answer.status >= 400:
        tally.refused.add(case.row)
        if not found and case.method != "HEAD":
            found = shape_problem(answer)
        if not found and await fingerprint(world) != before:
            found = "a refused request changed the store"
    elif answer.status < 300:
        tally.accepted.add(case.row)
        tally.accepted_count += 1
        if not found and case.reads:
            found = await _read_back(world, case)
    if found:
        body = str(case.raw or case.body)[:200]
        tally.problems.append(
            f"{case.about}: {found}\n    {case.method} {case.path[-80:]} {case.version} {body}"
            f"\n    {str(answer)[:300]}"
        )
    return answer


def _problem(case: Case, answer: Any) -> str:
    if answer.status >= 500:
        return "a server error"
    if case.status is not None and answer.status != case.status:
        return f"status {answer.status} instead of {case.status}"
    if case.codes is None:
        return ""
    if not case.codes:
        return "" if answer.status < 300 else "refused"
    if answer.status < 400:
        return f"accepted instead of {case.codes}"
    if case.method == "HEAD":  # its answers have no body
        return ""
    if code_of(answer) not in case.codes:
        return f"code {code_of(answer)} instead of {case.codes}"
    if case.target is not None and target_of(answer) != case.target:
        return f"target {target_of(answer)} instead of {case.target}"
    return ""


async def _read_back(world: World, case: Case) -> str:
    answer = await world.get(case.path, version=case.version)
    for path, value in case.reads.items():
        shown = at(answer.body.get("properties"), path)
        if shown != value:
            return f"{path} reads {'nothing' if shown is ABSENT else shown!r} instead of {value!r}"
    return ""


def ask_all(cases: list[Case]) -> Tally:
    """Every case in one world with the cluster c1; what a case makes is removed after it."""
    tally = Tally()

    async def story(world: World):
        await world.cluster()
        await world.feature()
        for case in cases:
            answer = await ask(world, case, tally)
            if answer is not None and case.method == "PUT" and answer.status < 300:
                await world.settle()
                if "/agentPools/" in case.path or not case.path.endswith("/c1"):
                    await world.delete(case.path)
                    await world.settle()

    run(story)
    return tally
