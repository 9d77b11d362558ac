#!/usr/bin/python3
"""Writes optim_trajectories.safetensors: parameters along 100 steps of several optimizers in float64.

Plain hosts are run by torch.optim. SING (centring, normalising, softplus, LookAhead) is an own
float64 implementation of the published rule (arXiv:2307.06098) over numpy. The gradients are those
of tests/support/optim_problem.h, bit for bit. Needs torch >= 1.13 and numpy; the tests do not.
"""
import json
import math
import pathlib
import struct

import numpy as np
import torch

SHAPES = [(7, 5), (5,), (4, 3, 3, 3), (2, 1, 3), (6, 1), (1,)]
SCALES = [1.0, 1e-6, 1e-2, 1e3, 1e-3, 10.0]
STEPS, KEPT = 100, (1, 2, 5, 25, 100)


def noise(tensor, step, n):
    """Values in [-0.5, 0.5), exact in double."""
    i = np.arange(n, dtype=np.uint64)
    x = (i * 2654435761 + step * 40503 * 65536 + (tensor + 1) * 974634777) % 2**32
    x = (x ^ (x >> np.uint64(15))) * np.uint64(739982445) % 2**32
    x = x ^ (x >> np.uint64(12))
    return x.astype(np.float64) / 2.0**32 - 0.5


def initial():
    return [noise(k, 0, int(np.prod(s))).reshape(s) for k, s in enumerate(SHAPES)]


def gradient(k, step, theta):
    """None: missing at this step."""
    if k == 2 and step == 7:
        return None
    if k == 1 and step == 3:
        return np.zeros(SHAPES[k])
    if k == 0 and step == 4:
        return np.full(SHAPES[k], float(np.float32(0.1)))
    z = noise(k, step, theta.size).reshape(SHAPES[k])
    if k == 2 and step == 6:
        return 1000.0 + 0.01 * z
    return SCALES[k] * (z + 0.125 * theta)


def run_torch(make):
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in initial()]
    optimizer = make(values)
    for step in range(1, STEPS + 1):
        for k, v in enumerate(values):
            g = gradient(k, step, v.detach().numpy())
            v.grad = None if g is None else torch.tensor(g)
        optimizer.step()
        yield step, [v.detach().numpy().copy() for v in values]


def sing(g, eps=1e-8):
    if g.ndim > 1:
        rows = g.reshape(g.shape[0], -1)
        means = np.array([math.fsum(row) / row.size for row in rows])
        g = (rows - means[:, None]).reshape(g.shape)
    norm = math.sqrt(math.fsum((g * g).ravel()))
    return g / (norm + eps)


def softplus(x, beta):
    return np.where(beta * x > 20, x, np.log1p(np.exp(np.minimum(beta * x, 30))) / beta)


def cosine(base, s, total, warmup):
    if s < warmup:
        return base * (s + 1) / warmup
    return base * 0.5 * (1 + math.cos(math.pi * (s - warmup) / (total - warmup)))


def clip_global(gradients, limit):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients if g is not None))
    factor = min(1.0, limit / (norm + 1e-6))
    return [None if g is None else g * factor for g in gradients]


def run_sing(host, lr, decay, beta=None, every=None, alpha=0.5, warmup=None, clip_after=None):
    values = initial()
    slow = [v.copy() for v in values]
    m = [np.zeros_like(v) for v in values]
    v2 = [np.zeros_like(v) for v in values]
    count = [0] * len(values)
    for step in range(1, STEPS + 1):
        rate = lr if warmup is None else cosine(lr, step - 1, STEPS, warmup)
        gradients = [gradient(k, step, v) for k, v in enumerate(values)]
        gradients = [None if g is None else sing(g) for g in gradients]
        if clip_after is not None:
            gradients = clip_global(gradients, clip_after)
        for k, g in enumerate(gradients):
            if g is None:
                continue
            count[k] += 1
            if values[k].ndim > 1:
                values[k] *= 1 - rate * decay
            if host == "sgd":
                m[k] = g if count[k] == 1 else 0.9 * m[k] + g
                values[k] -= rate * m[k]
                continue
            m[k] = 0.9 * m[k] + 0.1 * g
            v2[k] = 0.999 * v2[k] + 0.001 * g * g
            c1, c2 = 1 - 0.9 ** count[k], 1 - 0.999 ** count[k]
            d = np.sqrt(v2[k]) / math.sqrt(c2)
            d = d + 1e-8 if beta is None else softplus(d, beta)
            values[k] -= rate / c1 * m[k] / d
        if every is not None and step % every == 0:
            for k in range(len(values)):
                values[k] = slow[k] + alpha * (values[k] - slow[k])
                slow[k] = values[k].copy()
        yield step, [v.copy() for v in values]


CASES = {
    "sgd": lambda: run_torch(lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.01)),
    "sgd_momentum": lambda: run_torch(
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.1, weight_decay=0.01)),
    "sgd_nesterov": lambda: run_torch(
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True)),
    "adam": lambda: run_torch(lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01)),
    "adamw": lambda: run_torch(
        lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95), weight_decay=0.05)),
    "adamw_amsgrad": lambda: run_torch(
        lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True, weight_decay=0.05)),
    "sing_sgd": lambda: run_sing("sgd", 0.1, 5e-3, every=5),
    "sing_adamw": lambda: run_sing("adamw", 5e-3, 5e-2),
    "sing_adamw_softplus": lambda: run_sing("adamw", 5e-2, 5e-2, beta=50),
    "sing_adamw_full": lambda: run_sing("adamw", 5e-2, 5e-2, beta=50, every=5, warmup=10),
    "sing_clip_adamw": lambda: run_sing("adamw", 5e-3, 5e-2, clip_after=1.0),
}


def save(path, tensors, metadata):
    header, offset, body = {"__metadata__": metadata}, 0, b""
    for name in sorted(tensors):
        data = np.ascontiguousarray(tensors[name], dtype="<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def main():
    tensors = {}
    for name, run in CASES.items():
        for step, values in run():
            if step in KEPT:
                for k, value in enumerate(values):
                    tensors[f"{name}/{step}/{k}"] = value
    save(pathlib.Path(__file__).parent / "optim_trajectories.safetensors", tensors,
         {"script": pathlib.Path(__file__).name, "torch": torch.__version__,
          "numpy": np.__version__})


if __name__ == "__main__":
    main()
