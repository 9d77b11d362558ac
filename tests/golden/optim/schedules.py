"""Learning rates as functions of the updates made."""
import math

from problem import STEPS
from reference import SCHEDULES, case, register, steps


def half_cosine(q):
    return 0.5 * (1 + math.cos(math.pi * q))


def schedule(name, **defaults):
    """The function gets its options, the base rate and s; s is clamped to the run. What is
    registered gives rate and momentum."""
    def add(function):
        def bind(options, base):
            assert not set(options) - set(defaults) - {"name"}, options
            o = {**defaults, **options}
            return lambda s: (function(o, base, min(s, STEPS)), momentum_of(o, s))
        register(SCHEDULES, name)(bind)
        return function
    return add


def warmed(o, base, s):
    w = steps(o["warmup"])
    return base * (s + 1) / w if s < w else None


@schedule("constant", warmup="0st")
def constant(o, base, s):
    rising = warmed(o, base, s)
    return base if rising is None else rising


@schedule("cosine", warmup="0st", hold="0st", min_lr=0.0)
def cosine(o, base, s):
    rising = warmed(o, base, s)
    start = steps(o["warmup"]) + steps(o["hold"])
    if rising is not None or s < start:
        return base if rising is None else rising
    return o["min_lr"] + (base - o["min_lr"]) * half_cosine((s - start) / (STEPS - start))


@schedule("inverse_sqrt", warmup=None, init_lr=0.0)
def inverse_sqrt(o, base, s):
    w = steps(o["warmup"])
    if s < w:
        return o["init_lr"] + s * (base - o["init_lr"]) / w
    return base * math.sqrt(w) / math.sqrt(s)


@schedule("step", every=None, gamma=0.1)
def step(o, base, s):
    return base * o["gamma"] ** (s // steps(o["every"]))


@schedule("multistep", milestones=None, gamma=0.1)
def multistep(o, base, s):
    return base * o["gamma"] ** sum(steps(m) <= s for m in o["milestones"])


@schedule("linear", start_factor=None, end_factor=None, duration=None)
def linear(o, base, s):
    n = steps(o["duration"])
    q = min(s, n) / n
    return base * (o["start_factor"] + (o["end_factor"] - o["start_factor"]) * q)


def cycle(o, s, first, top, last):
    """From first to top to last, along two half cosines."""
    s = min(s, STEPS - 1)
    turn = o["pct_start"] * STEPS - 1
    if s <= turn:
        return top + (first - top) * half_cosine(s / turn)
    return last + (top - last) * half_cosine((s - turn) / (STEPS - 1 - turn))


@schedule("one_cycle", pct_start=0.3, div_factor=25.0, final_div_factor=1e4, cycle_momentum=False)
def one_cycle(o, base, s):
    first = base / o["div_factor"]
    return cycle(o, s, first, base, first / o["final_div_factor"])


def momentum_of(o, s):
    """The momentum (or beta1) of update s, or None where the schedule leaves it alone."""
    if not o.get("cycle_momentum", False):
        return None
    return cycle({"pct_start": 0.3, **o}, s, 0.95, 0.85, 0.95)


@schedule("wsd", warmup="0st", decay=None, shape="linear")
def wsd(o, base, s):
    rising = warmed(o, base, s)
    if rising is not None:
        return rising
    n = steps(o["decay"])
    if s < STEPS - n:
        return base
    q = (s - (STEPS - n)) / n
    return base * {"linear": 1 - q, "sqrt": 1 - math.sqrt(q), "cosine": half_cosine(q)}[o["shape"]]


SGD = {"name": "sgd", "lr": 2e-3, "momentum": 0.5}


def over_sgd(label, name, **options):
    return case(label, SGD, schedule={"name": name, **options})


CASES = [
    over_sgd("constant_warmup", "constant", warmup="20st"),
    over_sgd("cosine", "cosine"),
    over_sgd("cosine_warmup", "cosine", warmup="5%"),
    over_sgd("cosine_hold", "cosine", warmup="5%", hold="60%", min_lr=1e-4),
    over_sgd("inverse_sqrt", "inverse_sqrt", warmup="10st"),
    over_sgd("inverse_sqrt_init", "inverse_sqrt", warmup="30st", init_lr=1e-4),
    over_sgd("step", "step", every="15st", gamma=0.5),
    over_sgd("multistep", "multistep", milestones=["10st", "40st", "40st"], gamma=0.5),
    over_sgd("linear", "linear", start_factor=0.2, end_factor=1.5, duration="60st"),
    over_sgd("linear_rise", "linear", start_factor=0.2, end_factor=1.0, duration="60st"),
    over_sgd("one_cycle", "one_cycle"),
    over_sgd("one_cycle_options", "one_cycle", pct_start=0.5, div_factor=5.0,
             final_div_factor=100.0),
    *[case("one_cycle_momentum_" + host["name"], host,
           schedule={"name": "one_cycle", "cycle_momentum": True})
      for host in (SGD, {"name": "adamw", "lr": 0.02, "betas": (0.8, 0.99)})],
    over_sgd("wsd_linear", "wsd", warmup="10st", decay="20st"),
    over_sgd("wsd_sqrt", "wsd", warmup="10%", decay="40st", shape="sqrt"),
    over_sgd("wsd_cosine", "wsd", decay="30st", shape="cosine"),
    case("cosine_decay_adamw", {"name": "adamw", "lr": 0.02, "weight_decay": 0.1},
         schedule={"name": "cosine", "warmup": "10st"}),
]
