"""SAdam (Tong et al. 2019): softplus of the uncorrected root as denominator."""
import math

import numpy as np

from adam import moments
from reference import HOSTS, Host, case, register, softplus, standard


@register(HOSTS, "sadam")
class SAdam(Host):
    defaults = {"betas": (0.9, 0.999), "beta": 50.0, "amsgrad": False}

    def update(self, x, eta):
        o = self.o
        c1, c2 = moments(x, *o["betas"])
        v = x.state["v"]
        if o["amsgrad"]:
            v = x.state["v_max"] = np.maximum(x.slot("v_max"), v)
        d = softplus(np.sqrt(v), o["beta"])
        x.theta = x.theta - eta * math.sqrt(c2) / c1 * x.state["m"] / d


BASE = {"name": "sadam", "lr": 0.01}

CASES = standard("sadam", 0.01, 0.1, 0.05) + [
    case("default", {"name": "sadam"}),
    case("beta", {**BASE, "beta": 5.0}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("amsgrad", {**BASE, "betas": (0.9, 0.9), "amsgrad": True}),
    case("amsgrad_decay", {**BASE, "amsgrad": True, "weight_decay": 0.1}),
]
