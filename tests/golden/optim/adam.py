"""Adam (Kingma & Ba 2015) with epsilon outside the root, after bias correction."""
import math

import numpy as np

from reference import HOSTS, Host, case, register, softplus, standard


@register(HOSTS, "adam")
class Adam(Host):
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "softplus_beta": None}

    def update(self, x, eta):
        o = self.o
        c1, c2 = moments(x, *o["betas"])
        v = x.state["v"]
        if o["amsgrad"]:
            v = x.state["v_max"] = np.maximum(x.slot("v_max"), v)
        root = np.sqrt(v) / math.sqrt(c2)
        beta = o["softplus_beta"]
        d = root + o["eps"] if beta is None else softplus(root, beta)
        x.theta = x.theta - eta / c1 * x.state["m"] / d


def moments(x, beta1, beta2):
    """Both moving averages; returns their corrections."""
    x.state["m"] = beta1 * x.slot("m") + (1 - beta1) * x.first
    x.state["v"] = beta2 * x.slot("v") + (1 - beta2) * x.g * x.g
    return 1 - beta1**x.t, 1 - beta2**x.t


def options_of(host):
    base = {"name": host, "lr": 0.01}
    return [
        case("betas", {**base, "betas": (0.8, 0.95)}),
        case("betas_zero", {**base, "betas": (0.0, 0.99)}),
        case("eps", {**base, "eps": 0.1}),
        case("amsgrad", {**base, "amsgrad": True}),
        case("amsgrad_decay", {**base, "amsgrad": True, "betas": (0.9, 0.9), "weight_decay": 0.1}),
        case("softplus", {**base, "softplus_beta": 50}),
        case("softplus_low", {**base, "softplus_beta": 5.0}),
        case("softplus_amsgrad", {**base, "softplus_beta": 50, "amsgrad": True}),
        case("sing_softplus", {**base, "lr": 0.05, "weight_decay": 0.05, "softplus_beta": 50},
             ["sing"]),
        case("sing_full", {**base, "lr": 0.05, "weight_decay": 0.05, "softplus_beta": 50},
             ["sing"], lookahead={"every": 5, "alpha": 0.5},
             schedule={"name": "cosine", "warmup": "10st"}),
    ]


CASES = standard("adam", 0.01, 0.1, 5e-3) + options_of("adam")
