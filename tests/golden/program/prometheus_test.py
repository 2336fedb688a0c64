"""A real Prometheus finds a live run of two ranks through the discovery file and reads the numbers of stats.jsonl."""
import json
import shutil
import signal
import socket
import subprocess
import time
import unittest
import urllib.parse
import urllib.request

from program import Job, ProgramTest, main, read_json, read_stats, wait_until

BATCH_PER_RANK = 8


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def flat_name(labels):
    own = ",".join(f"{key}={value}" for key, value in sorted(labels.items())
                   if key not in ("__name__", "job", "instance", "run_id"))
    return labels["__name__"] + (f"{{{own}}}" if own else "")


@unittest.skipUnless(shutil.which("prometheus") and shutil.which("promtool"), "prometheus is not installed")
class PrometheusScrapes(ProgramTest):
    def setUp(self):
        super().setUp()
        self.targets = self.folder / "sd"
        self.targets.mkdir()
        self.run_folder = self.folder / "run"
        self.job = self.start_training("gan", self.run_folder, ranks=2, train__steps=10_000_000, monitoring__steps=1,
                                       checkpoint__steps=10_000_000, picture__steps=10_000_000,
                                       quality__steps=10_000_000, monitoring__discovery_dir=self.targets)
        config = self.folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
                          f"scrape_configs: [{{job_name: atelier, file_sd_configs: [{{files: ['{self.targets}/*.json']}}]}}]\n")
        self.prometheus = f"127.0.0.1:{free_port()}"
        self.jobs.append(Job(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                              f"--web.listen-address={self.prometheus}"]))

    def query(self, expression):
        """[(labels, value)]; empty while Prometheus starts."""
        try:
            answer = get(f"http://{self.prometheus}/api/v1/query?query={urllib.parse.quote(expression)}")
        except OSError:
            return []
        return [(one["metric"], float(one["value"][1])) for one in json.loads(answer)["data"]["result"]]

    def scrape_equals_its_record(self, instance):
        """One scrape of rank 0 against the line of its step. False when it fell between the writes of a step."""
        scraped = {flat_name(labels): value for labels, value in self.query(f'{{instance="{instance}"}}')}
        self.assertIn("atelier_step", scraped)
        step = int(scraped["atelier_step"])
        record = wait_until(lambda: read_stats(self.run_folder).get(step), f"the record of step {step}")
        compared = [name for name in record if name.startswith(("atelier_loss", "atelier_samples_total", "atelier_step",
                                                                "atelier_gradient_norm", "atelier_optimizer_steps_total"))]
        self.assertTrue({"atelier_step", "atelier_samples_total{rank=0}"} <= set(compared), compared)
        self.assertGreaterEqual(sum(name.startswith("atelier_loss") for name in compared), 2)
        self.assertEqual(record["atelier_samples_total{rank=0}"], step * BATCH_PER_RANK)
        return all(abs(scraped[name] - record[name]) <= 1e-15 * abs(record[name])
                   for name in compared if "bucket" not in name)

    def test_both_ranks_are_scraped_and_tell_the_same_as_the_records(self):
        up = 'up{job="atelier"}'
        wait_until(lambda: [value for _, value in self.query(up)] == [1, 1], "both targets to be up")
        run_id = read_json(self.run_folder / "run.json")["run_id"]
        files = list(self.targets.iterdir())
        self.assertEqual([file.name for file in files], [f"{run_id}.json"])
        self.assertEqual({labels["run_id"] for labels, _ in self.query(up)}, {run_id})

        [(labels, _)] = wait_until(lambda: self.query("atelier_step > 20"), "the first scrape of steps")
        first = labels["instance"]
        equal = []
        for _ in range(5):
            equal.append(self.scrape_equals_its_record(first))
            time.sleep(0.6)
        self.assertGreaterEqual(sum(equal), 4, equal)

        # The other rank's numbers fit together: its images are its share of the batch, each step.
        [(labels, share)] = self.query('atelier_samples_total{rank="1"} / on(rank, instance) atelier_optimizer_steps_total')
        self.assertNotEqual(labels["instance"], first)
        self.assertEqual(share, BATCH_PER_RANK)

        for target in (first, labels["instance"]):
            body = get(f"http://{target}/metrics")
            check = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True)
            self.assertEqual((check.returncode, check.stdout + check.stderr), (0, ""))

        self.job.signal(signal.SIGUSR2)
        result = self.job.end()
        self.assertEqual(result.code, 75, result)
        self.assertEqual(list(self.targets.iterdir()), [], "the discovery file stays after a clean end")
        wait_until(lambda: self.query("vector(1)") and self.query(up) == [], "the targets to be gone")


if __name__ == "__main__":
    main()
