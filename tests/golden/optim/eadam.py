"""EAdam (Yuan & Gao 2020): epsilon is added to the second moment at each step and stays there."""
import math

import numpy as np

from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "eadam")
class EAdam(Host):
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8}

    def update(self, x, eta):
        beta1, beta2 = self.o["betas"]
        m = x.state["m"] = beta1 * x.slot("m") + (1 - beta1) * x.first
        v = x.state["v"] = beta2 * x.slot("v") + (1 - beta2) * x.g * x.g + self.o["eps"]
        c1, c2 = 1 - beta1**x.t, 1 - beta2**x.t
        x.theta = x.theta - eta * math.sqrt(c2) / c1 * m / np.sqrt(v)


BASE = {"name": "eadam", "lr": 0.01}

CASES = standard("eadam", 0.01, 0.1, 5e-3) + [
    case("default", {"name": "eadam"}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("eps", {**BASE, "eps": 1e-4}),
]
