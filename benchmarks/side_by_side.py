#!/usr/bin/env python3
"""Runs the same networks, weights and batches in PyTorch and in SING, checks that results and
gradients agree, then prints ratios of processor time.

    cmake --preset release -DSING_BUILD_BENCHMARKS=ON && cmake --build --preset release
    python3 benchmarks/side_by_side.py [--build build-release] [--threads 1] [--rounds 5] [--bf16]
                                       [--sing-reference PATH] [TASK ...]

Tasks: quickstart, vit_s (whole steps with SING + AdamW), block (one ViT-S block, forward and
backward, batch 16), optimizer (the step alone on ViT-S). Needs torch and numpy. Both sides take
turns in the same minute, each in a process of its own; the ratio is the median over the rounds.
A pair whose results differ is not timed. The optimizer on PyTorch's side is a plain transcription
of the method in tensor operations, one tensor after the other; --sing-reference takes the file of
the paper's authors instead (sing.py of github.com/AdrienCourtois/SING). --bf16 runs products and
attention in bf16 on both sides: torch.autocast there, bf16 weights and activations here.

--device cuda compares on a GPU, in wall time with the device waited for, and in these steps: loss and
gradients of the first step and the losses of 20 steps with the same optimizer; then, in turns, our
step with SING + AdamW beside PyTorch's with its fused AdamW, eager and compiled (the faster of two
modes), and beside PyTorch with the transcription (or the authors' file) of SING.
"""
import argparse
import ctypes
import importlib.util
import json
import math
import os
import statistics
import struct
import subprocess
import tempfile
import time

import numpy as np


def write_safetensors(path, tensors):
    header, at = {}, 0
    arrays = {k: np.ascontiguousarray(v.detach().numpy(), dtype=np.float32) for k, v in sorted(tensors.items())}
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for a in arrays.values():
            f.write(a.tobytes())


def read_safetensors(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    kinds = {"F32": np.float32, "F64": np.float64}
    header.pop("__metadata__", None)
    return {k: np.frombuffer(data[e["data_offsets"][0]:e["data_offsets"][1]], kinds[e["dtype"]])
            .reshape(e["shape"]) for k, e in header.items()}


def define(torch):
    nn, F = torch.nn, torch.nn.functional

    def plain_attention(q, k, v):
        return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v

    attend = getattr(F, "scaled_dot_product_attention", plain_attention)  # PyTorch 2: its own choice

    class Attention(nn.Module):
        def __init__(self, dim, heads):
            super().__init__()
            self.heads = heads
            self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            return self.proj(attend(q, k, v).transpose(1, 2).reshape(b, t, c))

    class Mlp(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

        def forward(self, x):
            return self.fc2(F.gelu(self.fc1(x)))

    class Block(nn.Module):
        def __init__(self, dim, heads, affine=True):
            super().__init__()
            self.norm1 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=affine)
            self.attn = Attention(dim, heads)
            self.norm2 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=affine)
            self.mlp = Mlp(dim)

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class PatchEmbed(nn.Module):
        def __init__(self, patch, dim):
            super().__init__()
            self.proj = nn.Conv2d(1, dim, patch, patch)

        def forward(self, x):
            return self.proj(x).flatten(2).transpose(1, 2)

    class Vit(nn.Module):
        def __init__(self, image, patch, dim, depth, heads, affine):
            super().__init__()
            self.patch, self.side = patch, image // patch
            self.pos_embed = nn.Parameter(0.02 * torch.randn(1, self.side ** 2, dim))
            self.patch_embed = PatchEmbed(patch, dim)
            self.blocks = nn.Sequential(*[Block(dim, heads, affine) for _ in range(depth)])
            self.norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=affine)
            self.head = nn.Linear(dim, patch * patch)

        def forward(self, x):
            y = self.head(self.norm(self.blocks(self.patch_embed(x) + self.pos_embed)))
            s, p = self.side, self.patch
            return y.view(-1, s, s, p, p).permute(0, 1, 3, 2, 4).reshape(-1, 1, s * p, s * p)

    return Block, Vit


class SingAdamW:
    """SING, then AdamW with a softplus denominator, then LookAhead (optimizer `sing` of
    benchmarks/support/workloads.h)."""

    def __init__(self, torch, parameters, lr=5e-2, decay=5e-2, betas=(0.9, 0.999), beta=50.0):
        self.torch, self.p = torch, list(parameters)
        self.lr, self.decay, self.betas, self.beta, self.t = lr, decay, betas, beta, 0
        self.m = [torch.zeros_like(p) for p in self.p]
        self.v = [torch.zeros_like(p) for p in self.p]
        self.slow = [p.detach().clone() for p in self.p]

    def step(self):
        torch = self.torch
        self.t += 1
        c1, c2 = 1 - self.betas[0] ** self.t, 1 - self.betas[1] ** self.t
        with torch.no_grad():
            for i, p in enumerate(self.p):
                g = p.grad
                if g.dim() > 1:
                    g = g - g.mean(dim=tuple(range(1, g.dim())), keepdim=True)
                g = g / (g.norm() + 1e-8)
                if p.dim() > 1:
                    p.mul_(1 - self.lr * self.decay)
                self.m[i].mul_(self.betas[0]).add_(g, alpha=1 - self.betas[0])
                self.v[i].mul_(self.betas[1]).addcmul_(g, g, value=1 - self.betas[1])
                root = (self.v[i] / c2).sqrt()
                p.addcdiv_(self.m[i], torch.nn.functional.softplus(root, beta=self.beta), value=-self.lr / c1)
                if self.t % 5 == 0:
                    self.slow[i].add_(p - self.slow[i], alpha=0.5)
                    p.copy_(self.slow[i])


def reference_class(path):
    """The class SING of the authors' file, set as SingAdamW is."""
    spec = importlib.util.spec_from_file_location("sing_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda torch, parameters: module.SING(parameters, lr=5e-2, weight_decay=5e-2)


class Theirs:
    """A task on PyTorch: its inputs, its first results, and a step."""

    def __init__(self, torch, task, options):
        self.torch, self.bf16, self.device = torch, options.bf16, options.device
        self.clock = time.perf_counter if options.wall else time.process_time
        optimizer = reference_class(options.sing_reference) if options.sing_reference else SingAdamW
        Block, Vit = define(torch)
        torch.manual_seed(1)
        self.inputs, self.optimizer, self.x = {}, None, None
        if task == "block":
            self.net = Block(384, 6)
            self.x = torch.randn(16, 64, 384, requires_grad=True)
            self.grad = torch.randn(16, 64, 384)
            self.inputs = {"x": self.x, "grad": self.grad}
        else:
            small = task == "quickstart"
            self.net = Vit(24, 4, 64, 4, 4, False) if small else Vit(128, 16, 384, 12, 6, True)
            side, batch = (24, 32) if small else (128, options.batch)
            self.x, self.y = torch.rand(batch, 1, side, side), torch.rand(batch, 1, side, side)
            self.optimizer = optimizer(torch, self.net.parameters())
            if task != "optimizer":
                self.inputs = {"x": self.x, "y": self.y}
        self.task = task
        if task == "optimizer":
            for n, p in self.net.named_parameters():
                p.grad = 1e-3 * torch.randn_like(p)
                self.inputs["grad/" + n] = p.grad
        self.inputs.update({n: p.detach().clone() for n, p in self.net.named_parameters()})
        if self.device == "cuda":
            gradients = [p.grad for p in self.net.parameters()]
            self.net.cuda()
            for p, g in zip(self.net.parameters(), gradients):
                p.grad = None if g is None else g.cuda()
            if self.x is not None and task != "block":
                self.x, self.y = self.x.cuda(), self.y.cuda()
            elif task == "block":
                self.x, self.grad = self.x.detach().cuda().requires_grad_(), self.grad.cuda()
            if self.optimizer:
                self.optimizer = optimizer(torch, self.net.parameters())
        self.model = self.net

    def use(self, mode):
        """What is timed on a GPU: "reference" (this optimizer), "eager" or a mode of torch.compile."""
        torch = self.torch
        torch.manual_seed(1)
        if mode != "reference" and self.optimizer:
            self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-3, weight_decay=5e-2, fused=True)
        self.model = self.net if mode in ("reference", "eager") else torch.compile(self.net, mode=mode)
        return self

    def losses(self, n):
        out = []
        for _ in range(n):
            out.append(self.forward_backward().detach().float())
            self.optimizer.step()
        return [float(x) for x in out]

    def results(self, values):
        return {n: v.detach().float().cpu().numpy().copy() for n, v in values}

    def forward_backward(self):
        self.net.zero_grad(set_to_none=True)  # the faster way: the first gradient is written, not added
        with self.torch.autocast(self.device, dtype=self.torch.bfloat16, enabled=self.bf16):
            out = self.model(self.x)
            if self.task != "block":
                out = self.torch.nn.functional.mse_loss(out, self.y)
        if self.task == "block":
            self.x.grad = None
            out.backward(self.grad.to(out.dtype))
        else:
            out.backward()
        return out

    def first_results(self):
        if self.task == "optimizer":
            self.optimizer.step()
            return self.results(self.net.named_parameters())
        out = self.forward_backward()
        named = [(n, p.grad) for n, p in self.net.named_parameters()]
        return self.results(named + [("output" if self.task == "block" else "loss", out)])

    def step(self):
        if self.task != "optimizer":
            self.forward_backward()
        if self.optimizer:
            self.optimizer.step()

    def seconds(self, n):
        before = self.clock()
        for _ in range(n):
            self.step()
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return self.clock() - before


class Ours:
    def __init__(self, program, task, inputs, folder, options):
        self.input, self.output = os.path.join(folder, "in"), os.path.join(folder, "out")
        self.field = 1 if options.wall else 0
        write_safetensors(self.input, inputs)
        command = [program, task, self.input, self.output] + ["bf16"] * options.bf16 + ["cuda"] * (options.device == "cuda")
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, SING_NUM_THREADS=str(options.threads)))
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{task}: {program} did not start")

    def first_results(self):
        return read_safetensors(self.output)

    def seconds(self, n):
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[self.field])

    def losses(self, n):
        self.process.stdin.write(f"losses {n}\n")
        self.process.stdin.flush()
        return [float(x) for x in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def largest_difference(ours, theirs):
    """Largest difference of a tensor, relative to the largest value of that tensor."""
    missing = set(theirs) - set(ours)
    if missing:
        return math.inf, sorted(missing)[0]
    # A tensor of rounding noise (the gradient of the bias of k, which softmax cancels) is measured
    # against the rest and not against itself.
    floor = 1e-4 * max(np.abs(v).max() for v in theirs.values())
    return max((float(np.abs(ours[n] - v).max() / max(np.abs(v).max(), floor)), n) for n, v in theirs.items())


def compare(torch, task, options, folder):
    theirs = Theirs(torch, task, options)
    ours = Ours(os.path.join(options.build, "benchmarks", "bench_side_by_side"), task,
                theirs.inputs, folder, options)
    # f32: sums of up to 1,536 terms in another order, through 12 blocks and back. bf16 rounds by up
    # to 2e-3 of a value, a few times on each way; both sides differ so from f32, by 1e-2 at most.
    limit = 2e-2 if options.bf16 else 2e-3
    worst, name = largest_difference(ours.first_results(), theirs.first_results())
    print(f"{task}: largest relative difference {worst:.1e} ({name})")
    if not worst < limit:
        print(f"{task}: results differ by more than {limit}, not timed")
        return False
    ours.seconds(1), theirs.seconds(1)
    n = max(1, int(options.block_seconds / max(theirs.seconds(1), 1e-4)))
    pairs = [(ours.seconds(n) / n, theirs.seconds(n) / n) for _ in range(options.rounds)]
    ratios = sorted(b / a for a, b in pairs)
    mine, other = (statistics.median(column) for column in zip(*pairs))
    print(f"{task}: SING {1e3 * mine:.2f} ms, PyTorch {1e3 * other:.2f} ms of {options.kind} time a step; "
          f"PyTorch / SING {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, "
          f"{options.rounds} rounds of {n} steps)")
    ours.close()
    return True


def in_turns(ours, theirs, options):
    """Pairs of seconds a step, one pair a round."""
    ours.seconds(5), theirs.seconds(5)
    n = max(1, int(options.block_seconds / max(theirs.seconds(5) / 5, 1e-6)))
    return [(ours.seconds(n) / n, theirs.seconds(n) / n) for _ in range(options.rounds)]


def compare_on_gpu(torch, task, options, folder, rows):
    theirs = Theirs(torch, task, options)
    ours = Ours(os.path.join(options.build, "benchmarks", "bench_side_by_side"), task,
                theirs.inputs, folder, options)
    limit = 2e-2 if options.bf16 else 2e-3
    worst, name = largest_difference(ours.first_results(), theirs.first_results())
    print(f"{task}: largest relative difference {worst:.1e} ({name})")
    far = 0.0
    if task in ("quickstart", "vit_s"):
        # Both start from the same weights: first_results() made no step.
        pairs = list(zip(ours.losses(20), theirs.losses(20)))
        far = max(abs(a - b) / abs(b) for a, b in pairs)
        print(f"{task}: largest relative difference of 20 losses {far:.1e}")
    # What rounding does to a step grows over twenty of them.
    if not (worst < limit and far < 5 * limit):
        print(f"{task}: results differ by more than {limit}, not timed")
        return False
    spread = [ours.seconds(20) / 20 for _ in range(4)]
    spread = max(spread[1:]) / min(spread[1:])
    modes = ["reference", "eager"]
    if task in ("quickstart", "vit_s", "block"):
        modes += ["max-autotune", "reduce-overhead"]
    for mode in modes:
        try:
            pairs = in_turns(ours, theirs.use(mode), options)
        except Exception as error:  # a mode that this PyTorch cannot do
            print(f"{task}: {mode}: {type(error).__name__}: {str(error)[:200]}")
            continue
        ratios = sorted(b / a for a, b in pairs)
        mine, other = (statistics.median(column) for column in zip(*pairs))
        rows.append({"task": task, "peer": mode, "bf16": options.bf16, "ours_ms": 1e3 * mine,
                     "peer_ms": 1e3 * other, "ratio": statistics.median(ratios), "lowest": ratios[0],
                     "highest": ratios[-1], "ours_against_ours": spread, "first_step_differs": worst,
                     "losses_differ": far})
        print(f"{task}: SING {1e3 * mine:.3f} ms, PyTorch {mode} {1e3 * other:.3f} ms; ratio "
              f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; ours against ours "
              f"differs by up to {spread:.2f})")
    ours.close()
    return True


def blas_in_use():
    with open("/proc/self/maps") as f:
        paths = {line.split()[-1] for line in f if "blas" in line.lower() or "mkl" in line.lower()}
    return ", ".join(sorted(os.path.realpath(p) for p in paths)) or "none found"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="*", default=["quickstart", "block", "vit_s", "optimizer"])
    parser.add_argument("--build", default="build-release")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--block-seconds", type=float, default=2.0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--wall", action="store_true", help="wall time: only on a quiet machine")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", metavar="FILE", help="results of --device cuda")
    parser.add_argument("--sing-reference", metavar="PATH", help="the authors' sing.py")
    options = parser.parse_args()
    options.wall = options.wall or options.device == "cuda"
    options.batch = 512 if options.device == "cuda" else 16
    options.kind = "wall" if options.wall else "processor"
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    try:  # Debian's reference BLAS would make PyTorch thirty times slower: say which one it is
        ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        print("no OpenBLAS here: PyTorch uses whatever BLAS it was linked with")
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: nothing to compare with")
        return 0
    torch.set_num_threads(options.threads)
    print(f"PyTorch {torch.__version__}, {options.threads} thread(s), {'bf16' if options.bf16 else 'f32'}, "
          f"BLAS: {blas_in_use()}; load {os.getloadavg()[0]:.1f}")
    ok, rows = True, []
    for task in options.tasks:
        with tempfile.TemporaryDirectory() as folder:
            if options.device == "cuda":
                ok = compare_on_gpu(torch, task, options, folder, rows) and ok
            else:
                ok = compare(torch, task, options, folder) and ok
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"torch": torch.__version__, "cuda": torch.version.cuda, "rows": rows}, f, indent=1)
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
