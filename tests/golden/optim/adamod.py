"""AdaMod (Ding et al. 2019): the rate of each element at most its own moving average."""
import math

import numpy as np

from adam import moments
from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "adamod")
class AdaMod(Host):
    defaults = {"betas": (0.9, 0.999), "beta3": 0.999, "eps": 1e-8}
    decoupled = True

    def update(self, x, eta):
        o = self.o
        c1, c2 = moments(x, *o["betas"])
        rate = eta * math.sqrt(c2) / c1 / (np.sqrt(x.state["v"]) + o["eps"])
        n = x.state["n"] = o["beta3"] * x.slot("n") + (1 - o["beta3"]) * rate
        x.theta = x.theta - np.minimum(rate, n) * x.state["m"]


BASE = {"name": "adamod", "lr": 0.01}

CASES = standard("adamod", 0.01, 0.1, 5e-3) + [
    case("default", {"name": "adamod"}),
    case("beta3", {**BASE, "beta3": 0.9}),
    case("betas", {**BASE, "betas": (0.8, 0.95), "beta3": 0.9}),
    case("eps", {**BASE, "eps": 0.1, "beta3": 0.9}),
]
