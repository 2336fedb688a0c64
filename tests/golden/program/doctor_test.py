"""`atelier doctor`: a page in columns and one JSON document, alone and under mpirun, with exit codes that scripts can trust."""
import json
import re
import socket

from program import MPIRUN, PROGRAM, ProgramTest, main

TOPICS = ["program", "job", "cores", "CPU", "LibTorch", "GPU", "memory", "/dev/shm", "all-reduce", "metrics port"]
ROW = re.compile(r"^(ok|warning|problem) +(\S+(?: \S+)?)  +(\S.*)$", re.M)


class Doctor(ProgramTest):
    def doctor(self, *words, ranks=1, code=0):
        done = self.run_program("doctor", *words, ranks=ranks)
        self.assertEqual(done.code, code, done)
        return done

    def findings(self, *words, topic, ranks=1, code=0):
        document = json.loads(self.doctor(*words, "--json", ranks=ranks, code=code).out)
        return [finding for finding in document["findings"] if finding["topic"] == topic]

    def test_the_page_has_a_row_for_each_topic(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                done = self.doctor(ranks=ranks)
                first = done.out.splitlines()[0]
                self.assertRegex(first, rf"^atelier doctor, {ranks} ranks? on 1 host: (all is well|\d+ warnings?)$")
                topics = dict.fromkeys(topic for _, topic, _ in ROW.findall(done.out))
                expected = TOPICS + (["clocks"] if ranks > 1 else []) + ["folders"]
                self.assertEqual(sorted(topics), sorted(expected), done)
                self.assertEqual(done.out.count("LibTorch"), 1, done)
                self.assertEqual(len({match.start(3) - match.start() for match in ROW.finditer(done.out)}), 1, done)
                self.assertLessEqual(max(map(len, done.out.splitlines())), 100)

    def test_json_is_one_document_with_the_facts_of_every_rank(self):
        for ranks in (1, 3):
            with self.subTest(ranks=ranks):
                found = json.loads(self.doctor("--json", ranks=ranks).out)
                self.assertEqual((found["ranks"], found["hosts"], len(found["facts"])), (ranks, 1, ranks))
                self.assertIn(found["verdict"], ("ok", "warning"))
                for rank, facts in enumerate(found["facts"]):
                    self.assertEqual(facts["port"]["port"], 9410 + rank)
                    self.assertEqual(facts["backend"], "mpi" if ranks > 1 else "self")
                    self.assertGreater(facts["sums"]["latency_seconds"], 0)
                    self.assertEqual(facts["sums"]["fault"], "")
                    self.assertGreater(facts["memory"]["available_bytes"], 1 << 20)
                    self.assertLess(abs(facts["clock"]["ahead_seconds"]), 0.05 + facts["clock"]["error_seconds"])
                    self.assertGreater(len(facts["processor"]["cores"]), 0)

    def test_folders_are_measured_and_left_as_they_were(self):
        run = self.folder / "runs" / "gan"
        before = sorted(path.name for path in self.data.rglob("*"))
        done = self.doctor("--data", self.data, "--run", run, ranks=2)
        rows = {topic: (status, found) for status, topic, found in ROW.findall(done.out)}
        self.assertIn("data folder", rows, done)
        self.assertIn("run folder", rows, done)
        self.assertRegex(re.sub(r"\s+", " ", done.out), r"run folder '\S+' on \w+, \S+ \w+ free, written at \S+ [GM]iB/s")
        self.assertEqual(sorted(path.name for path in self.data.rglob("*")), before)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_folders_that_cannot_be_used_end_with_78_and_say_what_to_do(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                words = ("--data", self.folder / "missing", "--run", "/proc/gan")
                data, = self.findings(*words, topic="data folder", ranks=ranks, code=78)
                run, = self.findings(*words, topic="run folder", ranks=ranks, code=78)
                self.assertEqual((data["status"], run["status"]), ("problem", "problem"))
                self.assertEqual((data["ranks"], run["ranks"]), (None, None))
                self.assertRegex(data["found"], "missing': No such file")
                self.assertIn("atelier data import", data["advice"])
                self.assertRegex(run["found"], "cannot create a file in '/proc'")
                self.assertIn("--run", run["advice"])

    def test_a_taken_port_is_a_warning_that_names_it(self):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", 9410))
                taken.listen()
            except OSError:
                pass  # somebody else has it, which is as good
            warnings = [finding for finding in self.findings(topic="metrics port", ranks=2) if finding["status"] == "warning"]
        self.assertTrue(warnings)
        self.assertEqual(warnings[0]["ranks"], [0])
        self.assertRegex(warnings[0]["found"], "^9410: .*in use")
        self.assertIn("monitoring.port", warnings[0]["advice"])

    def test_ranks_bound_to_one_core_are_a_warning(self):
        core = json.loads(self.doctor("--json").out)["facts"][0]["processor"]["cores"][0]
        done = self.start_command([MPIRUN, "--oversubscribe", "--bind-to", "core", "--cpu-set", core, "-n", 2, PROGRAM, "doctor",
                                   "--json"]).end()
        self.assertEqual(done.code, 0, done)
        finding, = [finding for finding in json.loads(done.out)["findings"] if finding["topic"] == "cores"]
        self.assertEqual(finding["status"], "warning")
        self.assertRegex(finding["found"], f"2 ranks on 1 core .{core}., 1 to each rank; (ranks 0-1 share 1 core|more ranks than cores)")


if __name__ == "__main__":
    main()
