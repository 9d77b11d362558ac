"""RAdam (Liu et al. 2020) as in torch.optim: plain momentum until the variance is tractable."""
import math

import numpy as np

from adabelief import rectification
from adam import moments
from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "radam")
class RAdam(Host):
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8}

    def update(self, x, eta):
        c1, c2 = moments(x, *self.o["betas"])
        rho, factor = rectification(x.t, self.o["betas"][1])
        m = x.state["m"]
        if rho > 5:
            d = np.sqrt(x.state["v"]) + self.o["eps"]
            x.theta = x.theta - eta * factor * math.sqrt(c2) / c1 * m / d
        else:
            x.theta = x.theta - eta / c1 * m


BASE = {"name": "radam", "lr": 2e-3}

CASES = standard("radam", 2e-3, 0.1, 5e-3) + [
    case("default", {"name": "radam"}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("betas_short", {**BASE, "betas": (0.5, 0.5)}),
    case("eps", {**BASE, "eps": 0.1}),
]
