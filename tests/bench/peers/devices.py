"""Where a peer's rank computes: the CPU, summing with gloo, or a GPU, summing with NCCL; and how its steps are timed there."""

import resource
import time

import torch


class Cpu:
    type = "cpu"
    backend = "gloo"
    ids = None  # of DistributedDataParallel

    def __init__(self, options):
        torch.set_num_threads(options.threads)
        torch.set_flush_denormal(True)
        self.device = torch.device("cpu")

    def keep(self, tensor):
        """A tensor that steps read again and again."""
        return tensor

    def bring(self, tensor):
        return tensor

    def step_seconds(self, step, numbers):
        """Of each step, and of all by the clock."""
        times = []
        for number in numbers:
            start = time.perf_counter()
            step(number)
            times.append(time.perf_counter() - start)
        return times, sum(times)

    def memory(self):
        return {"peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


class Gpu(Cpu):
    """One of this host's, by the rank. TF32 is off unless told, as in our program."""
    type = "cuda"
    backend = "nccl"

    def __init__(self, options, rank):
        super().__init__(options)
        if not torch.cuda.is_available():
            raise SystemExit("no GPU answers PyTorch: see nvidia-smi and CUDA_VISIBLE_DEVICES")
        index = rank % torch.cuda.device_count()
        self.ids = [index]
        self.device = torch.device("cuda", index)
        torch.cuda.set_device(self.device)
        torch.backends.cuda.matmul.allow_tf32 = options.tf32
        torch.backends.cudnn.allow_tf32 = options.tf32
        torch.backends.cudnn.benchmark = options.style == "best"

    def keep(self, tensor):
        return tensor.pin_memory()

    def bring(self, tensor):
        return tensor.to(self.device, non_blocking=True)

    def step_seconds(self, step, numbers):
        """By events on the device: nobody waits between steps."""
        events = [torch.cuda.Event(enable_timing=True) for _ in range(len(numbers) + 1)]
        torch.cuda.synchronize()
        start = time.perf_counter()
        events[0].record()
        for number, event in zip(numbers, events[1:]):
            step(number)
            event.record()
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
        return [1e-3 * before.elapsed_time(after) for before, after in zip(events, events[1:])], wall

    def memory(self):
        return {**super().memory(), "peak_device_memory_bytes": torch.cuda.max_memory_allocated()}


def of(options, rank):
    return Gpu(options, rank) if options.device == "cuda" else Cpu(options)
