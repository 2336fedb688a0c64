"""What independent readers make of monitoring's output: promtool and a real Prometheus, prometheus-client, TensorBoard.

    monitoring_test.py MONITORED_PROGRAM FAMILIES.md
"""
import io
import json
import math
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

PROGRAM, FAMILIES = sys.argv[1:3]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def flat_name(name, labels):
    inner = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name


def last_stats_line(run):
    """The last line of stats.jsonl without its three own keys; checks its step on the way."""
    line = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    assert (line.pop("attempt"), line.pop("step")) == (2, 6)
    line.pop("unix_seconds")
    return line


class MonitoringTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.run_dir = self.folder / "run"
        self.sd = self.folder / "sd"

    def start(self):
        program = subprocess.Popen([PROGRAM, self.run_dir, self.sd], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(program.stdin.close)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        program.targets = [program.stdout.readline().strip() for _ in range(2)]
        return program

    def finish(self, program):
        program.stdin.close()
        self.assertEqual(program.wait(timeout=20), 0)

    def assert_equal_stats(self, scraped, stats):
        """`scraped`: {flat name: value}. The exposition has 16 digits, stats.jsonl 17."""
        missing = [name for name in stats if name not in scraped]
        self.assertEqual(missing, [])
        for name, value in stats.items():
            if value is None:
                self.assertFalse(math.isfinite(scraped[name]), name)
            else:
                self.assertLessEqual(abs(scraped[name] - value), 1e-15 * abs(value), name)

    def test_promtool_has_no_finding(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed")
        for target in self.start().targets:
            body = get(f"http://{target}/metrics")
            check = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True)
            self.assertEqual((check.returncode, check.stdout + check.stderr), (0, ""))

    def test_prometheus_client_reads_the_values_of_stats(self):
        try:
            from prometheus_client.parser import text_string_to_metric_families
        except ImportError:
            self.skipTest("prometheus-client is not installed for this Python")
        body = get(f"http://{self.start().targets[0]}/metrics")
        families = list(text_string_to_metric_families(body))
        scraped = {flat_name(s.name, s.labels): s.value for family in families for s in family.samples}
        self.assert_equal_stats(scraped, last_stats_line(self.run_dir))
        self.assertTrue(all(family.documentation for family in families))

    def test_exported_families_equal_documented_ones(self):
        documented = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", pathlib.Path(FAMILIES).read_text(), re.M))
        targets = self.start().targets
        get(f"http://{targets[0]}/metrics")  # the server counts its scrapes after the first
        exported = [dict(re.findall(r"^# TYPE (\w+) (\w+)$", get(f"http://{target}/metrics"), re.M)) for target in targets]
        self.assertEqual(exported[0], documented)
        self.assertLess(exported[1].items(), documented.items())
        self.assertNotIn("atelier_loss", exported[1])

    def test_series_per_rank_stay_few(self):
        body = get(f"http://{self.start().targets[0]}/metrics")
        self.assertLess(sum(not line.startswith("#") for line in body.splitlines()), 300)

    def test_tensorboard_reads_the_values_of_stats(self):
        try:
            from PIL import Image
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        except ImportError:
            self.skipTest("tensorboard is not installed for this Python")
        self.finish(self.start())
        events = EventAccumulator(str(self.run_dir), size_guidance={"scalars": 0, "images": 0})
        events.Reload()

        for name, value in last_stats_line(self.run_dir).items():
            last = events.Scalars(name.rstrip("}").replace("{", "/"))[-1]
            self.assertEqual(last.step, 6)
            self.assertTrue(math.isnan(last.value) if value is None else math.isclose(last.value, value, rel_tol=1e-7), name)
        # The first attempt's steps 4 and 5 gave way to the second's.
        losses = events.Scalars("atelier_loss/net=G,term=adversarial")
        self.assertEqual([loss.step for loss in losses], [1, 2, 3, 4, 5, 6])
        picture = events.Images("fakes")[-1]
        self.assertEqual((picture.step, picture.height, picture.width), (6, 1, 2))
        pixels = Image.open(io.BytesIO(picture.encoded_image_string)).tobytes()
        self.assertEqual(pixels, bytes([255, 0, 0, 0, 0, 255]))

    def start_prometheus(self):
        config = self.folder / "prometheus.yml"
        config.write_text(f"""
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs: [{{job_name: atelier, file_sd_configs: [{{files: ["{self.sd}/*.json"]}}]}}]
""")
        self.sd.mkdir()
        url = f"127.0.0.1:{free_port()}"
        server = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                                   f"--web.listen-address={url}"], stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        return f"http://{url}/api/v1/query?query="

    def wait_for(self, query, accepted):
        """The first accepted result of a query, as a list of (labels, value); fails after 20 s."""
        deadline = time.monotonic() + 20
        result = None
        while time.monotonic() < deadline:
            try:
                data = json.loads(get(self.prometheus + urllib.parse.quote(query)))["data"]["result"]
                result = [(one["metric"], float(one["value"][1])) for one in data]
                if accepted(result):
                    return result
            except OSError:
                pass  # Prometheus is still starting
            time.sleep(0.1)
        self.fail(f"{query}: {result}")

    def test_prometheus_finds_the_run_scrapes_it_and_sees_its_end(self):
        if not shutil.which("prometheus"):
            self.skipTest("prometheus is not installed")
        self.prometheus = self.start_prometheus()
        up = 'up{job="atelier",run_id="run-1"}'

        program = self.start()
        self.wait_for(up, lambda result: [value for _, value in result] == [1, 1])
        samples = self.wait_for(f'{{run_id="run-1",instance="{program.targets[0]}"}}', bool)
        scraped = {}
        for labels, value in samples:
            name = labels.pop("__name__")
            own = {key: text for key, text in labels.items() if key not in ("job", "instance", "run_id")}
            scraped[flat_name(name, own)] = value
        self.assert_equal_stats(scraped, last_stats_line(self.run_dir))
        self.assertEqual((self.run_dir / "targets.json").read_text(), (self.sd / "run-1.json").read_text())

        program.send_signal(signal.SIGKILL)  # after a crash the targets stay and are down
        self.wait_for(up, lambda result: [value for _, value in result] == [0, 0])

        program = self.start()  # the next start replaces them
        self.wait_for(up, lambda result: [value for _, value in result] == [1, 1]
                      and sorted(labels["instance"] for labels, _ in result) == sorted(program.targets))

        self.finish(program)  # a clean end takes them away
        self.wait_for(up, lambda result: result == [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
