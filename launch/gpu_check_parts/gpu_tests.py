"""Runs the tests of label gpu and says of each whether it passed, failed, ran out of time or was skipped, and why."""

import re
import xml.etree.ElementTree as xml

import process

SKIPPED = 78  # the exit code of a test program that cannot test anything here
TAIL = 4000   # characters of output that are kept of what did not pass

UNITTEST_LINE = re.compile(r"^(\w+) \(([\w.]+)\).*? \.\.\. (?:.*?)(ok|FAIL|ERROR|skipped (['\"])(.*)\4)$", re.M)
UNITTEST_WORDS = {"ok": "passed", "FAIL": "failed", "ERROR": "failed"}


def googletest_cases(file):
    """From its XML, which holds the reasons of what was skipped."""
    cases = []
    if not file.is_file():
        return cases
    for case in xml.parse(file).getroot().iter("testcase"):
        if case.get("result") == "suppressed" or case.get("status") == "notrun":
            continue
        failures, skipped = case.findall("failure"), case.find("skipped")
        state = "failed" if failures else "skipped" if skipped is not None else "passed"
        text = "\n".join(failure.get("message", "") for failure in failures) if failures else ""
        if skipped is not None:
            text = (skipped.get("message") or "").partition("\n")[2].strip() or "no reason given"
        cases.append({"name": f"{case.get('classname')}.{case.get('name')}", "state": state, "text": text,
                      "seconds": float(case.get("time", 0))})
    return cases


def unittest_cases(output):
    return [{"name": f"{where.split('.')[-1] if where.split('.')[-1] != name else where.split('.')[-2]}.{name}",
             "state": UNITTEST_WORDS.get(state, "skipped"), "text": reason or ""}
            for name, where, state, _, reason in UNITTEST_LINE.findall(output)]


def reason_of(ended, cases):
    """Why nothing was tested."""
    told = re.search(r"^Skipped: (.+)$", ended.out, re.M)
    reasons = [told.group(1)] if told else [case["text"] for case in cases if case["state"] == "skipped"]
    return "; ".join(dict.fromkeys(reasons)) or f"exit code {SKIPPED} without a word"


def judged(test, ended, cases):
    result = {"name": test["name"], "seconds": round(ended.seconds, 2), "exit_code": ended.code, "cases": cases}
    states = {case["state"] for case in cases}
    if ended.timed_out:
        return {**result, "state": "timed out", "reason": f"no end within {test['limit_s']:.0f} s", "output": ended.output[-TAIL:]}
    if ended.code == SKIPPED or (ended.code == 0 and states == {"skipped"}):
        return {**result, "state": "skipped", "reason": reason_of(ended, cases)}
    if ended.code == 0 and "failed" not in states and "passed" in states:
        return {**result, "state": "passed"}
    if ended.code == 0 and not cases:
        return {**result, "state": "failed", "reason": "it told of no test at all", "output": ended.output[-TAIL:]}
    failed = ", ".join(case["name"] for case in cases if case["state"] == "failed")
    return {**result, "state": "failed", "reason": failed or f"exit code {ended.code}", "output": ended.output[-TAIL:]}


def run_one(test, places, environment, folder):
    """`places`: what {bundle} and {python} stand for."""
    def at_home(text):
        for name, place in places.items():
            text = text.replace("{" + name + "}", str(place))
        return text
    command = [at_home(word) for word in test["command"]]
    own = {**environment, **{key: at_home(value) for key, value in test["environment"].items()}}
    file = folder / f"{test['name']}.xml"
    in_python = "{python}" in test["command"]
    if not in_python:
        command.append(f"--gtest_output=xml:{file}")
    ended = process.run(command, own, test["limit_s"])
    return judged(test, ended, unittest_cases(ended.output) if in_python else googletest_cases(file))


def skipped(test, reason):
    return {"name": test["name"], "seconds": 0.0, "cases": [], "state": "skipped", "reason": reason}


def out_of_time(test, budget_s):
    return {"name": test["name"], "seconds": 0.0, "cases": [], "state": "timed out",
            "reason": f"not started: the tests before it used up the {budget_s:.0f} s of all"}
