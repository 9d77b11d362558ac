"""AdamNorm (Dubey et al. 2023): Adam whose first moment takes gradients of at least usual length;
coupled decay is part of the gradient whose length counts."""
import math

import numpy as np

from adam import moments
from reference import HOSTS, Host, case, register, standard
from transforms import stretched


@register(HOSTS, "adamnorm")
class AdamNorm(Host):
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8, "r": 0.95}

    def update(self, x, eta):
        x.first = stretched(x, x.g, self.o["r"])
        c1, c2 = moments(x, *self.o["betas"])
        d = np.sqrt(x.state["v"]) / math.sqrt(c2) + self.o["eps"]
        x.theta = x.theta - eta / c1 * x.state["m"] / d


BASE = {"name": "adamnorm", "lr": 0.01}

CASES = standard("adamnorm", 0.01, 0.1, 5e-3) + [
    case("default", {"name": "adamnorm"}),
    case("r", {**BASE, "r": 0.5}),
    case("r_decay", {**BASE, "r": 0.5, "weight_decay": 0.3}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("eps", {**BASE, "eps": 0.1}),
    case("no_eps", {**BASE, "eps": 0.0, "lr": 2e-3}),
    case("no_eps_decay", {**BASE, "eps": 0.0, "lr": 2e-3, "weight_decay": 0.3}),
]
