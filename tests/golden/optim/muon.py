"""Muon (Jordan et al. 2024) for matrices, with AdamW for tensors of rank < 2."""
import math

from adamw import AdamW
from reference import HOSTS, Host, case, norm, register, standard

A, B, C = 3.4445, -4.7750, 2.0315  # of the quintic iteration


def orthogonalised(u, steps):
    """u nearly with all singular values 1, by Newton-Schulz steps on the shorter side."""
    tall = u.shape[0] > u.shape[1]
    x = u / (norm(u) + 1e-7)
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x.T if tall else x


@register(HOSTS, "muon")
class Muon(Host):
    defaults = {"lr": 0.02, "momentum": 0.95, "nesterov": True, "ns_steps": 5,
                "scale": "spectral", "auxiliary": {}}
    decoupled = True

    def __init__(self, options, sing):
        super().__init__(options, sing)
        ours = {"name": "adamw", "lr": 3e-4, "betas": (0.9, 0.95), "eps": 1e-10,
                "weight_decay": 0.0}
        self.auxiliary = AdamW({**ours, **self.o["auxiliary"]}, sing)

    def step(self, present, eta):
        """The auxiliary's rate follows the same schedule."""
        super().step([x for x in present if x.rank > 1], eta)
        self.auxiliary.step([x for x in present if x.rank < 2],
                            eta * self.auxiliary.o["lr"] / self.o["lr"])

    def update(self, x, eta):
        o = self.o
        mu = o["momentum"]
        m = x.state["m"] = mu * x.slot("m") + (1 - mu) * x.first
        u = (1 - mu) * x.first + mu * m if o["nesterov"] else m
        u = u.reshape(u.shape[0], -1)
        rows, cols = u.shape
        if o["scale"] == "spectral":
            scale = math.sqrt(max(1.0, rows / cols))
        else:
            scale = 0.2 * math.sqrt(max(rows, cols))
        step = scale * orthogonalised(u, o["ns_steps"])
        x.theta = x.theta - eta * step.reshape(x.theta.shape)


BASE = {"name": "muon", "lr": 0.01}
# A filter bank of mean 1000 has singular values 1e-5 of the largest, lost in float32 in the Gram
# matrix; the iteration multiplies what is left of them, and the rounding, by up to 3.4445^5 = 485.
SINGLE = (1e-3, "Newton-Schulz amplifies the rounding of small singular values")

CASES = standard("muon", 0.01, 0.5, 0.01, bound32=SINGLE) + [
    case("default", {"name": "muon"}, bound32=SINGLE),
    case("no_nesterov", {**BASE, "nesterov": False}, bound32=SINGLE),
    case("momentum", {**BASE, "momentum": 0.5}, bound32=SINGLE),
    case("ns_steps", {**BASE, "ns_steps": 3}, bound32=SINGLE),
    case("match_rms", {**BASE, "scale": "match_rms", "weight_decay": 0.5}, bound32=SINGLE),
    case("auxiliary", {**BASE, "auxiliary": {"name": "adamw", "lr": 0.02, "betas": (0.8, 0.99),
                                             "eps": 1e-6, "weight_decay": 0.3}}, bound32=SINGLE),
    case("auxiliary_cosine", {**BASE, "auxiliary": {"name": "adamw", "lr": 0.02}},
         schedule={"name": "cosine", "warmup": "10st"}, bound32=SINGLE),
    case("sing_match_rms", {**BASE, "scale": "match_rms", "nesterov": False}, ["sing"],
         bound32=SINGLE),
]
