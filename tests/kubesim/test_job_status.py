"""What may be said of a job through its status, in the words of Kubernetes 1.36."""

import pytest

from poolwright.kubesim.kinds.job_status import check_job_status

from .in_process import MERGE, pod, run

JOBS = "/apis/batch/v1/namespaces/default/jobs"
EARLY, START, END = (f"2026-01-01T00:0{minute}:00Z" for minute in range(3))


def said(*conditions, **more):
    return {"conditions": [{"type": c, "status": "True"} for c in conditions], **more}


def complete(*more, **members):
    return said("SuccessCriteriaMet", "Complete", *more, **{**TIMES, **members})


def failed(**members):
    return said("FailureTarget", "Failed", startTime=START, **members)


TIMES = {"startTime": START, "completionTime": END}
RUNS = {"startTime": START, "active": 1, "ready": 1, "failed": 2}
LAST = "field is immutable for unsuspended job once set"
TERMINAL = "cannot disable the terminal {}=True condition"
NEGATIVE = "must be greater than or equal to 0"
BOTH = "cannot set Complete=True and Failed=true conditions"
NO_TARGET = "cannot set Failed=True condition without the FailureTarget=true condition"
NOT_MET = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
TOO_EARLY = "cannot set completionTime when there is no Complete=True condition"
CASES = {
    "ends well": (RUNS, complete(failed=2), []),
    "fails": (RUNS, failed(failed=3), []),
    "both": (
        {}, said("Complete", "SuccessCriteriaMet", "Failed", "FailureTarget", **TIMES),
        [BOTH, "cannot set Complete=True and FailureTarget=true conditions",
         "cannot set SuccessCriteriaMet=True and Failed=true conditions",
         "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"],
    ),
    "bare failure": ({}, said("Failed", startTime=START), [NO_TARGET]),
    "bare end": ({}, said("Complete", **TIMES), [NOT_MET]),
    "no times": ({}, complete(startTime=None, completionTime=None), [
        "Required value: completionTime is required for Complete jobs",
        "Required value: startTime is required for finished job",
    ]),
    "time without end": ({}, TIMES, [f'Invalid value: "{END}": {TOO_EARLY}']),
    "ends before it starts": (
        {}, complete(completionTime=EARLY), [f'"{EARLY}": must be equal to or after `startTime`']),
    "negative": ({}, {"active": -1, "failed": -2},
                 [f"-1: {NEGATIVE}", f"-2: {NEGATIVE}", "-2: cannot decrease the failed counter"]),
    "ready": ({}, {"ready": 2, "active": 1}, ["2: cannot set more ready pods than active"]),
    "pods after the end": (RUNS, failed(failed=2, active=1, terminating=1), [
        "1: active>0 is invalid for finished job", "1: terminating>0 is invalid for finished job"]),
    "fewer": ({"failed": 2, "succeeded": 2}, {"failed": 1, "succeeded": 1},
              [f"1: cannot decrease the {name} counter" for name in ("failed", "succeeded")]),
    "start taken back": (RUNS, {**RUNS, "startTime": None}, [f"null: {LAST}"]),
    "start moved": (RUNS, {**RUNS, "startTime": END}, [f'"{END}": {LAST}']),
    "end moved": (complete(), complete(completionTime="2026-01-01T00:09:00Z"),
                  ["field is immutable"]),
    "end taken back": (complete(), TIMES | said(), [
        TOO_EARLY, TERMINAL.format("Complete"),
        "cannot disable the SuccessCriteriaMet=True condition"]),
    "failure taken back": (failed(), {"startTime": START},
                           [TERMINAL.format("Failed"), TERMINAL.format("FailureTarget")]),
    "indexes": ({}, {"completedIndexes": "0", "failedIndexes": "1"}, [
        "cannot set non-empty completedIndexes when non-indexed completion mode",
        "cannot set non-null failedIndexes when backoffLimitPerIndex is null"]),
    "what was wrong before": (said("Failed", active=1), said("Failed", active=1, failed=1), []),
    "resumes": (said("Suspended", startTime=START),
                {"conditions": [{"type": "Suspended", "status": "False"}], "startTime": END}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rules(name):
    before, after, expected = CASES[name]
    spec = {"completionMode": "NonIndexed", "suspend": False}
    causes = check_job_status({"spec": spec, "status": after}, {"spec": spec, "status": before})
    messages = [cause.message for cause in causes]
    assert len(messages) == len(expected), messages
    for message, words in zip(messages, expected, strict=True):
        assert message.endswith(words)


def test_the_succeeded_of_an_elastic_job_may_fall():
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    before, after = ({"spec": spec, "status": {"succeeded": n}} for n in (3, 2))
    assert check_job_status(after, before) == []


def test_a_broken_status_is_refused_and_a_plain_update_is_not_asked():
    async def test(call):
        spec = {"template": {"spec": {**pod("p")["spec"], "restartPolicy": "Never"}}}
        assert (await call("POST", JOBS, {"metadata": {"name": "a"}, "spec": spec})).status == 201
        broken = {"status": said("Complete", "Failed")}
        refused = await call("PATCH", f"{JOBS}/a/status", broken, content_type=MERGE)
        assert (refused.status, refused.body["reason"]) == (422, "Invalid")
        told = refused.body["details"]["causes"][0]
        assert told == {
            "reason": "FieldValueInvalid", "message": f"Invalid value: {BOTH}",
            "field": "status.conditions",
        }  # fmt: skip
        fine = {"status": {"active": 1, "startTime": START}}
        assert (await call("PATCH", f"{JOBS}/a/status", fine, content_type=MERGE)).status == 200
        label = {"metadata": {"labels": {"x": "y"}}}
        assert (await call("PATCH", f"{JOBS}/a", label, content_type=MERGE)).status == 200

    run(test)
