"""Lion (Chen et al. 2023): the sign of a mix of gradient and momentum."""
import numpy as np

from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "lion")
class Lion(Host):
    defaults = {"lr": 1e-4, "betas": (0.9, 0.99)}
    decoupled = True

    def update(self, x, eta):
        beta1, beta2 = self.o["betas"]
        m = x.slot("m")
        x.theta = x.theta - eta * np.sign(beta1 * m + (1 - beta1) * x.first)
        x.state["m"] = beta2 * m + (1 - beta2) * x.first


BASE = {"name": "lion", "lr": 2e-3}

CASES = standard("lion", 2e-3, 0.5, 2e-3) + [
    case("default", {"name": "lion"}),
    case("betas", {**BASE, "betas": (0.5, 0.7)}),
    case("betas_zero", {**BASE, "betas": (0.0, 0.9)}),
]
