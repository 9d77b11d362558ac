"""Yogi (Zaheer et al. 2018) as in optax: both moments start at a small number."""
import numpy as np

from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "yogi")
class Yogi(Host):
    defaults = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-3, "initial_accumulator": 1e-6}

    def update(self, x, eta):
        o = self.o
        (beta1, beta2), start = o["betas"], o["initial_accumulator"]
        m = x.state["m"] = beta1 * x.slot("m", start) + (1 - beta1) * x.first
        v, square = x.slot("v", start), x.g * x.g
        v = x.state["v"] = v - (1 - beta2) * np.sign(v - square) * square
        c1, c2 = 1 - beta1**x.t, 1 - beta2**x.t
        x.theta = x.theta - eta / c1 * m / (np.sqrt(v / c2) + o["eps"])


BASE = {"name": "yogi"}

CASES = standard("yogi", 0.01, 0.1, 5e-3) + [
    case("default", BASE),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("eps", {**BASE, "eps": 1e-8}),
    case("initial_accumulator", {**BASE, "initial_accumulator": 0.1}),
    case("initial_zero", {**BASE, "initial_accumulator": 0.0}),
]
