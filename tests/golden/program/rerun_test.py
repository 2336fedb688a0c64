"""A run started twice gives the same bytes, on one rank and on two, however its gradients are summed."""
import json

from program import FAMILIES, ProgramTest, main, read_stats, losses, weights


class Rerun(ProgramTest):
    def test_same_world_gives_the_same_bytes(self):
        for family in FAMILIES:
            for ranks in (1, 2):
                with self.subTest(family=family, ranks=ranks):
                    runs = [self.folder / f"{family}-{ranks}-{name}" for name in ("first", "second")]
                    for run in runs:
                        self.train(family, run, ranks=ranks, monitoring__steps=1)
                    self.assert_same_weights(*runs)
                    first, second = (read_stats(run) for run in runs)
                    self.assertEqual({step: losses(line) for step, line in first.items()},
                                     {step: losses(line) for step, line in second.items()})
                    pictures = [{path.name: path.read_bytes() for path in run.glob("*.png")} for run in runs]
                    self.assertEqual(*pictures)

    def plan(self, run):
        newest = max((run / "checkpoints").glob("step-*"))
        return json.loads((newest / "state.json").read_text())["buckets"]

    def test_sums_during_the_backward_change_no_byte(self):
        runs = [self.folder / name for name in ("after", "during")]
        for run, overlap in zip(runs, ("off", "on")):
            self.train("gan", run, ranks=2, optimizer__overlap=overlap, optimizer__bucket_bytes=4096)
        self.assert_same_weights(*runs)
        self.assertEqual([self.plan(run) for run in runs],
                         [{"bytes": 4096, "overlap": overlap, "measured": False} for overlap in (False, True)])

    def test_how_gradients_are_summed_is_measured_once_per_world(self):
        run = self.folder / "run"
        more = {"train__deterministic": "false"}
        pinned = self.train("ae", run, ranks=2, train__steps=10, optimizer__overlap="off", **more)
        self.assertNotIn("Gradients are summed ", pinned.err)
        first = self.train("ae", run, ranks=2, resume="must", **more)
        self.assertIn("Gradients are summed ", first.err)
        plan = self.plan(run)
        again = self.train("ae", run, ranks=2, resume="must", train__steps=40, **more)
        self.assertNotIn("Gradients are summed ", again.err)
        self.assertEqual(self.plan(run), plan)
        other = self.train("ae", run, ranks=3, resume="must", train__steps=50, **more)
        self.assertIn("Gradients are summed ", other.err)

    def test_another_seed_gives_other_weights(self):
        for seed in (0, 1):
            self.train("gan", self.folder / f"seed-{seed}", seed=seed)
        self.assertNotEqual(weights(self.folder / "seed-0"), weights(self.folder / "seed-1"))


if __name__ == "__main__":
    main()
