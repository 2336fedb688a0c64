"""A run started twice gives the same bytes, on one rank and on two."""
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

    def test_another_seed_gives_other_weights(self):
        for seed in (0, 1):
            self.train("gan", self.folder / f"seed-{seed}", seed=seed)
        self.assertNotEqual(weights(self.folder / "seed-0"), weights(self.folder / "seed-1"))


if __name__ == "__main__":
    main()
