"""One global batch on 1, 2 and 4 ranks: in fp64 every loss of 200 steps is the same up to the order of sums.

On 4 ranks gradients are summed while the backward goes on, in many pieces.
"""
from program import FAMILIES, ProgramTest, losses, main, read_stats

STEPS = 200
TOLERANCE = 1e-9  # relative, absolute below 1


class Worlds(ProgramTest):
    def check(self, family):
        traces = {}
        for world in (1, 2, 4):
            run = self.folder / f"{family}-{world}"
            pieces = {"optimizer__overlap": "on", "optimizer__bucket_bytes": 4096} if world == 4 else {}
            self.train(family, run, ranks=world, **pieces, train__precision="fp64", train__steps=STEPS, monitoring__steps=1,
                       quality__steps=STEPS, checkpoint__steps=STEPS)
            traces[world] = {step: losses(line) for step, line in read_stats(run).items()}
        self.assertEqual(list(traces[1]), list(range(1, STEPS + 1)))
        self.assertTrue(all(len(terms) >= 2 for terms in traces[1].values()))
        self.assertNotEqual(traces[1][1], traces[1][STEPS])
        worst = 0.0
        for world in (2, 4):
            self.assertEqual(traces[1].keys(), traces[world].keys())
            for step, terms in traces[1].items():
                self.assertEqual(terms.keys(), traces[world][step].keys())
                for name, value in terms.items():
                    worst = max(worst, abs(value - traces[world][step][name]) / max(1.0, abs(value)))
        print(f"{family}: worst difference {worst:.1e}")
        self.assertLessEqual(worst, TOLERANCE)


for _family in FAMILIES:
    setattr(Worlds, f"test_{_family}", lambda self, family=_family: self.check(family))

if __name__ == "__main__":
    main()
