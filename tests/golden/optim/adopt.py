"""ADOPT (Taniguchi et al. 2024): the second moment of the step before scales the gradient."""
import numpy as np

from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "adopt")
class Adopt(Host):
    defaults = {"betas": (0.9, 0.9999), "eps": 1e-6, "clip_power": 0.25}

    def apply_decay(self, x, eta):
        if not self.is_decoupled or x.t > 1:  # nothing moves in the first step
            super().apply_decay(x, eta)

    def update(self, x, eta):
        o = self.o
        beta1, beta2 = o["betas"]
        if x.t == 1:
            x.state["v"] = x.g * x.g
            return
        limit = (x.t - 1) ** o["clip_power"]
        u = np.clip(x.first / np.maximum(np.sqrt(x.state["v"]), o["eps"]), -limit, limit)
        m = x.state["m"] = beta1 * x.slot("m") + (1 - beta1) * u
        x.theta = x.theta - eta * m
        x.state["v"] = beta2 * x.state["v"] + (1 - beta2) * x.g * x.g


BASE = {"name": "adopt", "lr": 0.01}

CASES = standard("adopt", 0.01, 0.1, 5e-3) + [
    case("default", {"name": "adopt"}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("eps", {**BASE, "eps": 0.1}),
    case("clip_power", {**BASE, "clip_power": 0.333}),
    case("clip_power_zero", {**BASE, "clip_power": 0.0, "betas": (0.9, 0.99)}),
]
