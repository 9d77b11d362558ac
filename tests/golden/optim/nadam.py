"""NAdam (Dozat 2016) as in torch.optim since 2.0."""
import numpy as np

from adam import moments
from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "nadam")
class NAdam(Host):
    defaults = {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "momentum_decay": 4e-3}

    def update(self, x, eta):
        o = self.o
        beta1 = o["betas"][0]
        _, c2 = moments(x, *o["betas"])

        def mu_at(t):
            return beta1 * (1 - 0.5 * 0.96 ** (t * o["momentum_decay"]))

        mu, mu_next = mu_at(x.t), mu_at(x.t + 1)
        product = x.state["product"] = x.state.get("product", 1.0) * mu
        d = np.sqrt(x.state["v"] / c2) + o["eps"]
        x.theta = x.theta - eta * (1 - mu) / (1 - product) * x.first / d \
            - eta * mu_next / (1 - product * mu_next) * x.state["m"] / d


BASE = {"name": "nadam", "lr": 0.01}

CASES = standard("nadam", 0.01, 0.1, 5e-3) + [
    case("default", {"name": "nadam"}),
    case("betas", {**BASE, "betas": (0.8, 0.95)}),
    case("eps", {**BASE, "eps": 0.1}),
    case("momentum_decay", {**BASE, "momentum_decay": 0.1}),
    case("no_momentum_decay", {**BASE, "momentum_decay": 0.0}),
]
