"""AdaBound (Luo et al. 2019): the rate of each element between two bounds that close in."""
import math

import numpy as np

from adam import moments
from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "adabound")
class AdaBound(Host):
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8, "final_lr": 0.1, "gamma": 1e-3,
                "amsbound": False}

    def update(self, x, eta):
        o = self.o
        c1, c2 = moments(x, *o["betas"])
        v = x.state["v"]
        if o["amsbound"]:
            v = x.state["v_max"] = np.maximum(x.slot("v_max"), v)
        final = o["final_lr"] * eta / o["lr"]
        low = final * (1 - 1 / (o["gamma"] * x.t + 1))
        high = final * (1 + 1 / (o["gamma"] * x.t))
        rate = np.clip(eta * math.sqrt(c2) / c1 / (np.sqrt(v) + o["eps"]), low, high)
        x.theta = x.theta - rate * x.state["m"]


BASE = {"name": "adabound", "lr": 1e-3, "final_lr": 1e-3, "gamma": 0.05}

CASES = standard("adabound", 1e-3, 0.1, 5e-3, final_lr=1e-3, gamma=0.05) + [
    case("default_sing", {"name": "adabound"}, ["sing"]),
    case("gamma", {**BASE, "gamma": 0.5}),
    case("final_lr", {**BASE, "final_lr": 3e-3}),
    case("cosine", BASE, schedule={"name": "cosine", "warmup": "10st"}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("eps", {**BASE, "eps": 0.1}),
    case("amsbound", {**BASE, "betas": (0.9, 0.9), "amsbound": True}),
]
