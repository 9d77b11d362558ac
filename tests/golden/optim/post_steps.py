"""What follows the host: LookAhead and averages of the weights."""
from reference import POST_STEPS, case, register, steps


@register(POST_STEPS, "lookahead")
class LookAhead:
    """Zhang et al. 2019; the slow copy is taken before the first step."""

    def __init__(self, options):
        self.o = {"every": 5, "alpha": 0.5, **options}

    def start(self, tensors):
        self.slow = [x.theta.copy() for x in tensors]

    def after(self, step, tensors):
        if step % self.o["every"] == 0:
            for x, slow in zip(tensors, self.slow):
                x.theta = slow + self.o["alpha"] * (x.theta - slow)
            self.slow = [x.theta.copy() for x in tensors]


@register(POST_STEPS, "ema")
class Ema:
    """The first step copies; `made` counts the averages made, that copy included."""

    def __init__(self, options):
        self.o = {"decay": 0.9999, "warmup": False, **options}
        self.made = 0

    def start(self, tensors):
        pass

    def after(self, step, tensors):
        values = [x.theta.copy() for x in tensors]
        if step == 1:
            self.average = values
        else:
            d = self.o["decay"]
            if self.o["warmup"]:
                d = min(d, 1 - (1 + self.made) ** (-2 / 3))
            self.average = [d * a + (1 - d) * v for a, v in zip(self.average, values)]
        self.made += 1
        return [a.copy() for a in self.average]


@register(POST_STEPS, "swa")
class Swa:
    """Izmailov et al. 2018: the mean of the weights after steps start, start + every, ...; before
    that the weights themselves."""

    def __init__(self, options):
        self.first, self.every = steps(options["start"]), steps(options["every"])
        self.made = 0

    def start(self, tensors):
        pass

    def after(self, step, tensors):
        values = [x.theta.copy() for x in tensors]
        if step >= self.first and (step - self.first) % self.every == 0:
            if self.made == 0:
                self.average = values
            else:
                self.average = [a + (v - a) / (self.made + 1)
                                for a, v in zip(self.average, values)]
            self.made += 1
        return [a.copy() for a in self.average] if self.made > 0 else values


SGD = {"name": "sgd", "lr": 1e-3, "momentum": 0.9}
ADAMW = {"name": "adamw", "lr": 0.01}
LOOKAHEAD = {"every": 5, "alpha": 0.5}

CASES = [
    case("lookahead_sgd", SGD, lookahead=LOOKAHEAD),
    case("lookahead_adamw", ADAMW, lookahead=LOOKAHEAD),
    case("lookahead_options", ADAMW, lookahead={"every": 3, "alpha": 0.8}),
    case("ema", ADAMW, ema={"decay": 0.9}),
    case("ema_default", ADAMW, ema={"decay": 0.9999}),
    case("ema_warmup", ADAMW, ema={"decay": 0.9, "warmup": True}),
    case("ema_warmup_slow", SGD, ema={"decay": 0.9999, "warmup": True}),
    case("swa", ADAMW, swa={"start": "20st", "every": "5st"}),
    case("swa_each_step", SGD, swa={"start": "1st", "every": "1st"}),
    case("swa_behind_lookahead", ADAMW, lookahead=LOOKAHEAD, swa={"start": "10%", "every": "3st"}),
    case("ema_behind_lookahead", ADAMW, lookahead=LOOKAHEAD, ema={"decay": 0.8}),
]
