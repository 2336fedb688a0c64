"""result.json as one page that needs nothing else to be read: no scripts, no files beside it."""

from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; background: #fff }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0 }
th { font-weight: 600; border-bottom: 2px solid #c9d2dc } td { border-bottom: 1px solid #e6ebf0 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .quiet { color: #5b6875 }
.verdict { font-size: 1.15rem; padding: .6rem 1rem; border-left: 6px solid; background: #f4f6f8 }
.passed { color: #17663a } .failed, .timed-out { color: #a3211c; font-weight: 600 } .skipped, .not-run { color: #85560a }
.verdict.passed { border-color: #17663a } .verdict.failed { border-color: #a3211c } .verdict.skipped { border-color: #85560a }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f6f8; padding: .7rem; font-size: .82rem }
@media (prefers-color-scheme: dark) { body { color: #dde3ea; background: #14191f } th { border-color: #48525d } td { border-color: #2a323b }
 .verdict, pre { background: #1d242c } .passed { color: #67c58f } .failed, .timed-out { color: #f08a84 } .skipped, .not-run { color: #e0b063 }
 .quiet { color: #9aa6b2 } }
"""


def cell(value, kind=""):
    return f"<td{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{value}</td>"


def table(heads, rows):
    """Heads that begin with '#' are of numbers."""
    head = "".join(f'<th class="n">{escape(name[1:])}</th>' if name[0] == "#" else f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def state_cell(state):
    return cell(state, state.replace(" ", "-"))


def machine_rows(result):
    machine, torch = result["machine"], result.get("torch") or {}
    told = {"GPUs": "<br>".join(map(escape, machine["gpus"])) or "nvidia-smi tells of none",
            "system": escape(f"{machine['system']}, kernel {machine['kernel']}, glibc {machine['glibc']}, {machine['cores']} cores"),
            "Atelier": escape(f"commit {result['commit']}"),
            "LibTorch": escape(f"{torch['version']}, CUDA {torch['cuda'] or 'of unknown version'}, {torch['folder']}" if torch else "none")}
    doctor = result.get("doctor") or {}
    for finding in doctor.get("findings", []):
        if finding["topic"] in ("GPU", "LibTorch"):
            told[f"doctor on {finding['topic']}"] = escape(finding["found"])
    if "failure" in doctor:
        told["doctor"] = escape(doctor["failure"])
    return [f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in told.items()]


def cases_of(test):
    counts = {}
    for case in test["cases"]:
        counts[case["state"]] = counts.get(case["state"], 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def test_rows(tests):
    rows = []
    for test in tests:
        reasons = [test.get("reason", "")]
        if test["state"] == "passed":
            reasons = [f"{case['name']} skipped: {case['text']}" for case in test["cases"] if case["state"] == "skipped"]
        rows.append("<tr>" + cell(escape(test["name"])) + state_cell(test["state"]) + cell(f"{test['seconds']:.1f}", "n")
                    + cell(cases_of(test)) + cell("<br>".join(map(escape, reasons))) + "</tr>")
    return rows


def benchmark_row(row):
    start = "<tr>" + cell(escape(row["about"]))
    if "ratio" not in row:
        why = "failed" if "failure" in row else "no time left"
        return start + cell(why, "failed" if "failure" in row else "not-run") + "<td></td>" * 5 + "</tr>"
    low, high = row["interval"]
    agreed = f"{row['losses_apart']:.0e}" + ("" if row["losses_agree"] else " (too far)")
    return (start + cell(agreed, "passed" if row["losses_agree"] else "failed") + cell(f"{row['images_per_second']:,.0f}", "n")
            + cell(f"{row['peer_images_per_second']:,.0f}", "n") + cell(f"{row['ratio']:.2f} ({low:.2f}–{high:.2f})", "n")
            + cell(row["bar"], "n") + cell(row["rounds"], "n") + "</tr>")


def benchmarks_part(benchmarks):
    if benchmarks["state"] == "not run":
        return f"<p class=\"not-run\">Not run: {escape(benchmarks['reason'])}.</p>"
    note = (f"<p class=\"quiet\">Each pair of runs in turns, on the same weights and bytes; the losses of ten steps are compared first. "
            f"Ratio: median of the pairs with its 95 % interval. {benchmarks['seconds']:.0f} s.</p>")
    wrong = f"<p class=\"failed\">{escape(benchmarks['reason'])}</p>" if benchmarks["state"] == "failed" else ""
    heads = ["work and peer", "losses apart", "#ours, images/s", "#peer, images/s", "#ours / peer", "#bar", "#rounds"]
    return note + wrong + table(heads, map(benchmark_row, benchmarks["rows"]))


def outputs(result):
    parts = [(test["name"], test["output"]) for test in result["tests"] if test.get("output")]
    if result["benchmarks"].get("output"):
        parts.append(("benchmarks", result["benchmarks"]["output"]))
    if not parts:
        return ""
    return "<h2>Last words of what failed</h2>" + "".join(f"<h3>{escape(name)}</h3><pre>{escape(text)}</pre>" for name, text in parts)


def page(result):
    kind = {0: "passed", 1: "failed"}.get(result["exit_code"], "skipped")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Atelier on this GPU: {escape(result['verdict'])}</title><style>{STYLE}</style></head><body>
<h1>Atelier, checked on a machine with GPUs</h1>
<p class="quiet">{escape(result['started'])}, {result['seconds']:.0f} s</p>
<p class="verdict {kind}">{escape(result['verdict'])}</p>
<table>{''.join(machine_rows(result))}</table>
<h2>Tests</h2>
{table(["test", "result", "#seconds", "cases", "why"], test_rows(result["tests"]))}
<h2>Beside PyTorch</h2>
{benchmarks_part(result["benchmarks"])}
{outputs(result)}
</body></html>
"""
