"""SGD as in torch.optim: the buffer starts at the first gradient, undamped."""
from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "sgd")
class Sgd(Host):
    defaults = {"momentum": 0.0, "dampening": 0.0, "nesterov": False}

    def update(self, x, eta):
        x.theta = x.theta - eta * along(x, self.o, x.first)


def along(x, o, g):
    """The direction of a step: g, the buffer, or both."""
    momentum = o["momentum"]
    if momentum == 0:
        return g
    if x.t == 1:
        b = g
    else:
        b = momentum * x.state["momentum"] + (1 - o["dampening"]) * g
    x.state["momentum"] = b
    return g + momentum * b if o["nesterov"] else b


def with_momentum(name, **options):
    return case(name, {"name": "sgd", "lr": 2e-3, "momentum": 0.9, **options})


CASES = standard("sgd", 2e-3, 0.1, 0.05) + [
    with_momentum("momentum"),
    with_momentum("momentum_decay", weight_decay=0.1),
    with_momentum("momentum_decoupled", weight_decay=0.1, decoupled=True),
    with_momentum("dampening", dampening=0.3),
    with_momentum("nesterov", nesterov=True),
    with_momentum("nesterov_decay", nesterov=True, weight_decay=0.1),
    case("sing_momentum", {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
         ["sing"]),
    case("sing_momentum_lookahead",
         {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}, ["sing"],
         lookahead={"every": 5, "alpha": 0.5}),
    case("sing_nesterov", {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
         ["sing"]),
]
