"""Memory of one rank of a running job goes bad: a flipped bit is found and healed or ends the run, a NaN is named by all ranks.

The weights stand still (learning rate 1e-30), so that their bytes in a checkpoint are those in the processes' memory.
"""
import json
import os
import pathlib
import re
import signal
import struct

from program import ProgramTest, checkpoints, main, read_json, read_stats, wait_until
from safetensors.numpy import load_file

TENSOR = "AE.decoder.from_latent.bias"
CHECK_STEPS = 20


def rank_of(pid):
    """None for a process that is no rank."""
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    found = re.search(rb"(?:^|\0)OMPI_COMM_WORLD_RANK=(\d+)\0", environment)
    return int(found[1]) if found else None


def write_over(pid, old, new):
    """Replaces every copy of `old` in the process's memory; returns how many there were."""
    places = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for line in maps:
            begin, end, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if rights[:2] != "rw":
                continue
            begin, end = int(begin, 16), int(end, 16)
            try:
                memory.seek(begin)
                content = memory.read(end - begin)
            except OSError:
                continue
            at = content.find(old)
            while at >= 0:
                memory.seek(begin + at)
                memory.write(new)
                places += 1
                at = content.find(old, at + len(old))
    return places


class DamagedMemory(ProgramTest):
    def start_still(self, run, ranks, **more):
        """A job that trains on without moving, and the bytes of one of its weights."""
        job = self.start_training("ae", run, ranks=ranks, train__steps=1_000_000, optimizer__learning_rate=1e-30, monitoring__steps=1,
                                  checkpoint__steps=10, checkpoint__keep=1000, quality__steps=1_000_000,
                                  train__replica_steps=CHECK_STEPS, train__precision="fp32", **more)
        wait_until(lambda: not job.running() or checkpoints(run), "a checkpoint")
        self.assertTrue(job.running(), job.read(job.err))
        return job, load_file(checkpoints(run)[0] / "model.safetensors")[TENSOR].tobytes()

    def damage(self, job, rank, old, new):
        """Writes while all ranks stand still."""
        ranks = {rank_of(pid): pid for pid in job.members() if rank_of(pid) is not None}
        for pid in ranks.values():
            os.kill(pid, signal.SIGSTOP)
        try:
            self.assertGreater(write_over(ranks[rank], old, new), 0, "the weight was not found in memory")
        finally:
            for pid in ranks.values():
                os.kill(pid, signal.SIGCONT)

    @staticmethod
    def flipped(weight):
        return bytes([weight[0] ^ 1]) + weight[1:]  # the last bit of the first mantissa

    def test_a_flipped_bit_on_one_of_two_ranks_ends_the_run_by_name(self):
        run = self.folder / "run"
        job, weight = self.start_still(run, ranks=2)
        self.damage(job, 1, weight, self.flipped(weight))
        last = max(read_stats(run))
        result = job.end()
        self.assertEqual(result.code, 70, result)
        found = re.search(r"no longer equal at step (\d+): rank 1 differs from rank 0, first in (\S+)\.", result.err)
        self.assertTrue(found, result)
        self.assertEqual(found[2], TENSOR)
        self.assertLessEqual(int(found[1]), last + CHECK_STEPS)
        self.assertIn("no longer equal", read_json(run / "outcome.json")["error"])

    def test_a_flipped_bit_on_one_of_three_ranks_is_healed(self):
        run = self.folder / "run"
        job, weight = self.start_still(run, ranks=3)
        self.damage(job, 2, weight, self.flipped(weight))
        wait_until(lambda: not job.running() or "It got the state of rank 0" in job.read(job.err), "the healing")
        self.assertRegex(job.read(job.err), rf"rank 2 differs from the others, first in {re.escape(TENSOR)}")
        step = max(read_stats(run))
        wait_until(lambda: not job.running() or max(read_stats(run)) > step + 3 * CHECK_STEPS, "three more checks")
        self.assertTrue(job.running(), job.read(job.err))
        self.assertEqual(job.read(job.err).count("no longer equal"), 1)

    def test_a_nan_in_a_weight_of_one_rank_is_named(self):
        run = self.folder / "run"
        job, weight = self.start_still(run, ranks=2, train__skip_budget=0)
        self.damage(job, 1, weight, struct.pack("<f", float("nan")) + weight[4:])
        result = job.end()
        self.assertNotEqual(result.code, 0)
        self.assertRegex(result.err, rf"weight {re.escape(TENSOR)} held \d+ values? that (is|are) not finite on rank 1")
        self.assertIn(TENSOR, json.dumps(read_json(run / "outcome.json")))


if __name__ == "__main__":
    main()
