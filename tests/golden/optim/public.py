"""Runs the closed loop with optimizers that others wrote, over torch tensors of float64."""
import math
import pathlib
import sys
import types

import numpy as np
import torch

import problem

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def source(folder, name, replace=()):
    """A published file as a module; `replace`: pairs of text, to run it in full precision."""
    path = pathlib.Path(folder) / name
    text = path.read_text()
    for old, new in replace:
        assert old in text, old
        text = text.replace(old, new)
    module = types.ModuleType("published_" + path.stem)
    sys.modules[module.__name__] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def allow_old_signatures():
    """Files of years ago write add_(factor, tensor), addcmul_(factor, a, b), addcdiv_(...)."""
    def factor_last(name, operands, keyword):
        new = getattr(torch.Tensor, name)

        def call(self, *given, **more):
            if len(given) == operands + 1 and not isinstance(given[0], torch.Tensor):
                return new(self, *given[1:], **{keyword: given[0]}, **more)
            return new(self, *given, **more)
        setattr(torch.Tensor, name, call)
    factor_last("add", 1, "alpha")
    factor_last("add_", 1, "alpha")
    factor_last("addcmul_", 2, "value")
    factor_last("addcdiv_", 2, "value")


def trajectory(make, change=None, schedule=None, average=None):
    """[kept steps, elements] of make(list of tensors). `change` works on the gradients in place,
    `schedule` makes a scheduler of the optimizer, `average(step, tensors)` returns what is kept
    instead of the tensors."""
    values = [torch.tensor(v, requires_grad=True) for v in problem.initial()]
    optimizer = make(values)
    if hasattr(optimizer, "train"):
        optimizer.train()
    scheduler = schedule(optimizer) if schedule else None
    rows = []
    for step in range(1, problem.STEPS + 1):
        for k, v in enumerate(values):
            g = problem.gradient(k, step, v.detach().numpy())
            v.grad = None if g is None else torch.tensor(g)
        if change is not None:
            change(values)
        optimizer.step()
        if scheduler is not None and step < problem.STEPS:
            scheduler.step()
        kept = values if average is None else average(step, values)
        if step in problem.KEPT:
            rows.append(np.concatenate([v.detach().numpy().ravel() for v in kept]))
    return np.stack(rows)


def difference(got, want, tensors=range(len(problem.SHAPES))):
    """Largest difference relative to the largest value of its tensor."""
    worst, at = 0.0, 0
    for k, shape in enumerate(problem.SHAPES):
        part = slice(at, at + math.prod(shape))
        at = part.stop
        if k not in tensors:
            continue
        for a, b in zip(got, want):
            d = np.abs(a[part] - b[part]).max() / np.abs(b[part]).max()
            worst = max(worst, d if np.isfinite(d) else math.inf)
    return worst
