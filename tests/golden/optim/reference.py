"""The closed loop of problem.py, and how cases are described, run and stored.

Everything is numpy in float64, written from the published rules; sums that matter are exact
(math.fsum). A file beside this one adds a host (or transforms, schedules, post-steps) with its
cases and is found by write.py; nothing here lists them.
"""
import hashlib
import json
import math
import pathlib
import struct

import numpy as np

from problem import KEPT, STEPS, gradient, initial

HERE = pathlib.Path(__file__).parent
FORMAT = "1"

HOSTS, TRANSFORMS, SCHEDULES, POST_STEPS = {}, {}, {}, {}


def register(kinds, name):
    def add(thing):
        assert name not in kinds, name
        kinds[name] = thing
        return thing
    return add


# Helpers of the rules.

def norm(x):
    return math.sqrt(math.fsum((x * x).ravel()))


def norm_of_all(arrays):
    return math.sqrt(math.fsum(v for x in arrays for v in (x * x).ravel()))


def rms(x):
    return norm(x) / math.sqrt(x.size)


def softplus(x, beta):
    return np.where(beta * x > 20, x, np.log1p(np.exp(np.minimum(beta * x, 30))) / beta)


def steps(text):
    """A duration in steps ("10st") or as a fraction ("5%") of the run."""
    text = str(text)
    if text.endswith("%"):
        share = float(text[:-1]) / 100
        return max(1, round(share * STEPS)) if share > 0 else 0
    assert text.endswith("st"), text
    return int(text[:-2])


class Tensor:
    """One parameter: its value, gradient of this step, steps taken and the host's state."""

    def __init__(self, k, theta):
        self.k, self.theta, self.t, self.state = k, theta, 0, {}
        self.g = None        # gradient after the transforms; None: missing
        self.first = None    # the same as first moments see it
        self.decay = 0.0     # weight decay, 0 where the filter leaves it out

    @property
    def rank(self):
        return self.theta.ndim

    def slot(self, name, initial=0.0):
        return self.state.setdefault(name, np.full_like(self.theta, initial))


class Host:
    """A host overrides `update`, and the rest where its rule says so."""

    common = {"lr": 1e-3, "weight_decay": 0.0, "decoupled": None, "decay": None}
    defaults = {}
    decoupled = False  # usual form of weight decay

    def __init__(self, options, sing):
        self.o = {**self.common, **self.defaults, **options}
        unknown = set(self.o) - set(self.common) - set(self.defaults) - {"name"}
        assert not unknown, unknown
        given = self.o["decoupled"]
        self.is_decoupled = given if given is not None else sing or self.decoupled
        self.matrices = (self.o["decay"] or ("matrices" if sing else "all")) == "matrices"

    def set_momentum(self, momentum):
        """For schedules that move it."""
        if "betas" in self.o:
            self.o["betas"] = (momentum, *self.o["betas"][1:])
        else:
            self.o["momentum"] = momentum

    def decay_of(self, x):
        return 0.0 if self.matrices and x.rank < 2 else self.o["weight_decay"]

    def before(self, present):
        """Ahead of weight decay."""

    def apply_decay(self, x, eta):
        if self.is_decoupled:
            x.theta = x.theta * (1 - eta * x.decay)
        else:
            x.g = x.g + x.decay * x.theta
            x.first = x.first + x.decay * x.theta

    def begin(self, present, eta):
        """Behind weight decay, ahead of the updates."""

    def update(self, x, eta):
        raise NotImplementedError

    def evaluation(self, tensors):
        """Weights for evaluation, where they are not those of training."""
        return None

    def step(self, present, eta):
        for x in present:
            x.t += 1
            x.decay = self.decay_of(x)
        self.before(present)
        for x in present:
            self.apply_decay(x, eta)
        self.begin(present, eta)
        for x in present:
            self.update(x, eta)


# Cases.

def case(name, host, transforms=(), bound32=None, **blocks):
    """An `optimizer:` block. `bound32`: (relative error allowed in float32, why) where it is not
    the usual one. `blocks`: schedule and post-steps."""
    config = {"transforms": list(transforms)} if transforms else {}
    return {"name": name, "config": {**config, "host": host, **blocks}, "bound32": bound32}


def standard(host, lr, decay, sing_lr, flipped=True, bound32=None, **options):
    """What every host is checked with: alone, with decay in both forms, with SING, with LookAhead.
    """
    base = {"name": host, "lr": lr, **options}
    usual = HOSTS[host].decoupled
    cases = [case("alone", base),
             case("decay", {**base, "weight_decay": decay}),
             case("decay_matrices", {**base, "weight_decay": decay, "decay": "matrices"})]
    if flipped:
        form = "coupled" if usual else "decoupled"
        cases.append(case(form, {**base, "weight_decay": decay, "decoupled": not usual}))
    sing = {**base, "lr": sing_lr, "weight_decay": decay}
    cases.append(case("sing", sing, ["sing"]))
    cases.append(case("sing_lookahead", sing, ["sing"], lookahead={"every": 5, "alpha": 0.5}))
    cases.append(case("sing_cosine", sing, ["sing"], schedule={"name": "cosine", "warmup": "10st"}))
    for c in cases:
        c["bound32"] = c["bound32"] or bound32
    return cases


def named(stage):
    return {"name": stage} if isinstance(stage, str) else dict(stage)


def make(kinds, stage, *arguments):
    options = named(stage)
    return kinds[options["name"]](options, *arguments)


def effective(stages):
    """Without those that a normaliser behind them cancels (but for its epsilon): by rule such a
    stage has no effect at all."""
    last = max((i for i, s in enumerate(stages) if s.normalizes()), default=-1)
    return [s for i, s in enumerate(stages) if i > last or not s.only_scales]


def run(config):
    """Yields (step, values, averages or None) after each step."""
    transforms = effective([make(TRANSFORMS, t) for t in config.get("transforms", [])])
    sing = any(named(t)["name"] == "sing" for t in config.get("transforms", []))
    host = make(HOSTS, config["host"], sing)
    schedule = make(SCHEDULES, config.get("schedule", "constant"), host.o["lr"])
    post_steps = [kind(config[name]) for name, kind in POST_STEPS.items() if name in config]
    tensors = [Tensor(k, v) for k, v in enumerate(initial())]
    for p in post_steps:
        p.start(tensors)
    for step in range(1, STEPS + 1):
        for x in tensors:
            x.g = x.first = gradient(x.k, step, x.theta)
        present = [x for x in tensors if x.g is not None]
        for t in transforms:
            t.apply(present)
        eta, momentum = schedule(step - 1)
        if momentum is not None:
            host.set_momentum(momentum)
        host.step(present, eta)
        averages = None
        for p in post_steps:
            averages = p.after(step, tensors) or averages
        averages = host.evaluation(tensors) or averages
        yield step, [x.theta.copy() for x in tensors], averages


def flat(values):
    return np.concatenate([v.ravel() for v in values])


def trajectory(config):
    """{"": [len(KEPT), elements], "/average": the same of averages where there are some}."""
    rows, averaged = [], []
    for step, values, averages in run(config):
        if step in KEPT:
            rows.append(flat(values))
            if averages is not None:
                averaged.append(flat(averages))
    result = {"": np.stack(rows)}
    if averaged:
        assert len(averaged) == len(KEPT)
        result["/average"] = np.stack(averaged)
    assert all(np.isfinite(a).all() for a in result.values())
    return result


# Files.

def number(x):
    if isinstance(x, int):
        return str(x)
    text = repr(float(x))
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}"
    return text


def flow(x):
    """YAML of one line."""
    if x is None:
        return "null"
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, str):
        return x
    if isinstance(x, dict):
        if list(x) == ["name"]:
            return x["name"]
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in x.items()) + "}"
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(flow(v) for v in x) + "]"
    return number(x)


def yaml(config):
    return "".join(f"{key}: {flow(value)}\n" for key, value in config.items())


def digest_of(scripts):
    """SHA-256 of the files one behind the other."""
    h = hashlib.sha256()
    for script in scripts:
        h.update((HERE / script).read_bytes())
    return h.hexdigest()


def save(path, arrays, metadata, scripts):
    """safetensors of F64 arrays; the metadata also says what made the file and what it holds."""
    header, offset, body = {}, 0, b""
    for name in sorted(arrays):
        data = np.ascontiguousarray(arrays[name], dtype="<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(arrays[name].shape),
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        body += data
    header["__metadata__"] = {**metadata, "format": FORMAT, "scripts": " ".join(scripts),
                              "scripts_sha256": digest_of(scripts),
                              "data_sha256": hashlib.sha256(body).hexdigest(),
                              "steps": " ".join(map(str, KEPT))}
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def load(path):
    """(arrays, metadata)"""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + size + o for o in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], dtype="<f8").reshape(entry["shape"])
    return arrays, metadata
