"""LAMB (You et al. 2020) as in timm: optional global clip, decay inside the trust ratio."""
import math

import numpy as np

from reference import HOSTS, Host, case, norm, norm_of_all, register, standard
from adam import moments


@register(HOSTS, "lamb")
class Lamb(Host):
    defaults = {"weight_decay": 1e-2, "betas": (0.9, 0.999), "eps": 1e-6, "max_grad_norm": 1.0,
                "always_adapt": False, "trust_clip": False, "bias_correction": True}

    def before(self, present):
        limit = self.o["max_grad_norm"]
        if limit is None:
            return
        factor = max(1.0, norm_of_all([x.g for x in present]) / limit)
        for x in present:
            x.g = x.g / factor
            x.first = x.first / factor

    def apply_decay(self, x, eta):
        if self.is_decoupled:
            super().apply_decay(x, eta)

    def update(self, x, eta):
        o = self.o
        c1, c2 = moments(x, *o["betas"])
        if not o["bias_correction"]:
            c1 = c2 = 1.0
        u = (x.state["m"] / c1) / (np.sqrt(x.state["v"]) / math.sqrt(c2) + o["eps"])
        if not self.is_decoupled:
            u = u + x.decay * x.theta
        if x.decay != 0 or o["always_adapt"]:
            w, length = norm(x.theta), norm(u)
            trust = w / length if w > 0 and length > 0 else 1.0
            u = u * (min(trust, 1.0) if o["trust_clip"] else trust)
        x.theta = x.theta - eta * u


BASE = {"name": "lamb", "lr": 0.01}
FREE = {**BASE, "max_grad_norm": None}

CASES = standard("lamb", 0.01, 0.1, 0.01) + [
    case("no_decay", {**BASE, "weight_decay": 0.0}),
    case("no_clip", FREE),
    case("max_grad_norm", {**BASE, "max_grad_norm": 300.0}),
    case("always_adapt", {**FREE, "weight_decay": 0.0, "always_adapt": True}),
    case("trust_clip", {**FREE, "weight_decay": 0.1, "trust_clip": True}),
    case("no_bias_correction", {**FREE, "bias_correction": False}),
    case("betas_eps", {**FREE, "betas": (0.8, 0.95), "eps": 1e-2}),
    case("sing_no_clip", {**FREE, "weight_decay": 0.1}, ["sing"]),
    case("sing_always_adapt", {**FREE, "weight_decay": 0.1, "always_adapt": True}, ["sing"],
         lookahead={"every": 5, "alpha": 0.5}),
]
