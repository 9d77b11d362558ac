"""Normalised gradient descent: one norm over all tensors that have a gradient."""
from reference import HOSTS, Host, case, norm_of_all, register, standard


@register(HOSTS, "ngd")
class Ngd(Host):
    defaults = {"momentum": 0.0, "eps": 1e-8}
    decoupled = True

    def begin(self, present, eta):
        mu = self.o["momentum"]
        for x in present:
            if mu > 0:
                x.state["m"] = mu * x.slot("m") + (1 - mu) * x.first
            else:
                x.state["m"] = x.first
        self.length = norm_of_all([x.state["m"] for x in present]) + self.o["eps"]

    def update(self, x, eta):
        x.theta = x.theta - eta * x.state["m"] / self.length


CASES = standard("ngd", 0.1, 0.1, 0.1) + [
    case("momentum", {"name": "ngd", "lr": 0.1, "momentum": 0.9}),
    case("momentum_decay", {"name": "ngd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    case("momentum_coupled", {"name": "ngd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1,
                              "decoupled": False}),
    case("eps", {"name": "ngd", "lr": 0.1, "eps": 100.0}),
    case("sing_momentum", {"name": "ngd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
         ["sing"]),
]
