#!/usr/bin/env python3
"""Times PyTorch's optimizers (foreach form) and the authors' SING on tensors of the shapes that
bench_optimizer uses, in turns with it, and prints ratios of processor time.

    python3 benchmarks/optimizer_peers.py [--build build-release] [--threads 1] [--rounds 3]
        [--sing-reference PATH/sing.py] [SIZE ...]

Needs torch. That both sides compute the same is not checked here but by the goldens of the tests
(tests/golden/optim).
"""
import argparse
import importlib.util
import os
import statistics
import subprocess
import time


def peers(torch, reference):
    """Our row -> its name there and what makes it."""
    table = {
        "adamw": ("torch AdamW", lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=5e-2, foreach=True)),
        "sgd": ("torch SGD", lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, weight_decay=1e-4, foreach=True)),
    }
    if reference:
        spec = importlib.util.spec_from_file_location("sing_reference", reference)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        table["sing+adamw+softplus+lookahead"] = (
            "authors' SING", lambda p: module.SING(p, lr=5e-2, weight_decay=5e-2))
    return table


def ours(options, size, row):
    command = [options.program, "--threads", str(options.threads), "--seconds", "1", "--sizes", size, row]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        fields = line.split()
        if fields[:2] == [size, row]:
            return float(fields[2])
    raise SystemExit(f"bench_optimizer has no row {row} of {size}")


class Stepper:
    def __init__(self, torch, shapes, make):
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(0.02 * torch.randn(*s)) for s in shapes]
        for p in parameters:
            p.grad = 1e-3 * torch.randn_like(p)
        self.optimizer = make(parameters)
        self.step()
        self.step()

    def step(self):
        before = time.process_time()
        self.optimizer.step()
        return 1e3 * (time.process_time() - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", default=["resnet18", "vit_s", "bert_base"])
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sing-reference", metavar="PATH", help="the authors' sing.py")
    options = parser.parse_args()
    options.program = os.path.join(options.build, "benchmarks", "bench_optimizer")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch
    torch.set_num_threads(options.threads)
    print(f"PyTorch {torch.__version__}, {options.threads} thread(s), load {os.getloadavg()[0]:.1f}")
    print(f"{'size':<10} {'row':<30} {'peer':<14} {'SING ms':>9} {'peer ms':>9} {'ratio':>6}")
    for size in options.sizes:
        text = subprocess.run([options.program, "--shapes", size], check=True, capture_output=True, text=True).stdout
        shapes = [tuple(int(d) for d in line.split()) for line in text.splitlines()]
        for row, (name, make) in peers(torch, options.sing_reference).items():
            stepper = Stepper(torch, shapes, make)
            pairs = [(ours(options, size, row), statistics.median(stepper.step() for _ in range(5)))
                     for _ in range(options.rounds)]
            mine, other = (statistics.median(column) for column in zip(*pairs))
            ratio = statistics.median(b / a for a, b in pairs)
            print(f"{size:<10} {row:<30} {name:<14} {mine:>9.2f} {other:>9.2f} {ratio:>6.2f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
