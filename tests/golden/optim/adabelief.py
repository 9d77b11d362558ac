"""AdaBelief (Zhuang et al. 2020, version 0.2): epsilon stays in the state; rectified by default."""
import math

import numpy as np

from reference import HOSTS, Host, case, register, softplus, standard


def rectification(t, beta2):
    """(rho, R or None where it is not defined)"""
    limit = 2 / (1 - beta2) - 1
    rho = limit - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 4:
        return rho, None
    return rho, math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))


@register(HOSTS, "adabelief")
class AdaBelief(Host):
    defaults = {"betas": (0.9, 0.999), "eps": 1e-16, "rectify": True, "softplus_beta": None}
    decoupled = True

    def update(self, x, eta):
        o = self.o
        beta1, beta2 = o["betas"]
        m = x.state["m"] = beta1 * x.slot("m") + (1 - beta1) * x.first
        r = x.g - m
        s = x.state["s"] = beta2 * x.slot("s") + (1 - beta2) * r * r + o["eps"]
        c1, c2 = 1 - beta1**x.t, 1 - beta2**x.t
        factor = 1.0
        if o["rectify"]:
            rho, factor = rectification(x.t, beta2)
            if rho < 5:
                x.theta = x.theta - eta / c1 * m
                return
        if o["softplus_beta"] is not None:
            x.theta = x.theta - eta * factor * (m / c1) / softplus(np.sqrt(s) / math.sqrt(c2),
                                                                  o["softplus_beta"])
        elif o["rectify"]:
            x.theta = x.theta - eta * factor * math.sqrt(c2) / c1 * m / (np.sqrt(s) + o["eps"])
        else:
            x.theta = x.theta - eta / c1 * m / (np.sqrt(s) / math.sqrt(c2) + o["eps"])


BASE = {"name": "adabelief", "lr": 0.01}

CASES = standard("adabelief", 0.01, 0.1, 5e-3) + [
    case("plain", {**BASE, "rectify": False}),
    case("plain_decay", {**BASE, "rectify": False, "weight_decay": 0.1}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("plain_betas", {**BASE, "betas": (0.8, 0.95), "rectify": False}),
    case("eps", {**BASE, "eps": 1e-8}),
    case("plain_eps", {**BASE, "eps": 1e-3, "rectify": False}),
    case("softplus", {**BASE, "softplus_beta": 50}),
    case("plain_softplus", {**BASE, "softplus_beta": 50, "rectify": False}),
    case("sing_softplus", {**BASE, "lr": 0.05, "weight_decay": 0.05, "softplus_beta": 50},
         ["sing"]),
    case("sing_plain_softplus",
         {**BASE, "lr": 0.05, "weight_decay": 0.05, "softplus_beta": 50, "rectify": False},
         ["sing"], lookahead={"every": 5, "alpha": 0.5}),
    case("sing_plain", {**BASE, "lr": 5e-3, "weight_decay": 0.05, "rectify": False}, ["sing"]),
]
