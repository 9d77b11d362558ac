"""LARS (You et al. 2017) as in timm: the ratio uses the norm of the gradient without decay."""
from reference import HOSTS, Host, case, norm, register, standard
from sgd import along


@register(HOSTS, "lars")
class Lars(Host):
    defaults = {"lr": 1.0, "momentum": 0.9, "dampening": 0.0, "nesterov": False, "eps": 1e-8,
                "trust_coefficient": 1e-3, "always_adapt": False, "trust_clip": False}

    def apply_decay(self, x, eta):
        if self.is_decoupled:
            super().apply_decay(x, eta)

    def update(self, x, eta):
        o = self.o
        g = x.first
        in_gradient = 0.0 if self.is_decoupled else x.decay
        if x.decay != 0 or o["always_adapt"]:
            w, length = norm(x.theta), norm(g)
            trust = 1.0
            if w > 0 and length > 0:
                trust = o["trust_coefficient"] * w / (length + in_gradient * w + o["eps"])
            if o["trust_clip"]:
                trust = min(trust / eta, 1.0)
            g = trust * (g + in_gradient * x.theta)
        x.theta = x.theta - eta * along(x, o, g)


BASE = {"name": "lars", "lr": 1.0, "weight_decay": 0.1}
SMALL = {**BASE, "lr": 1e-3}

CASES = [c for c in standard("lars", 1.0, 0.1, 0.05) if c["name"] != "alone"] + [
    case("alone", {"name": "lars", "lr": 2e-3}),
    case("default_rate", {"name": "lars", "always_adapt": True}),
    case("always_adapt", {**BASE, "weight_decay": 0.0, "always_adapt": True}),
    case("always_adapt_matrices", {**BASE, "decay": "matrices", "always_adapt": True}),
    case("trust_clip", {**SMALL, "trust_clip": True}),
    case("trust_clip_coefficient", {**SMALL, "trust_clip": True, "trust_coefficient": 0.1}),
    case("trust_coefficient", {**BASE, "trust_coefficient": 1e-2}),
    case("eps", {**BASE, "eps": 1e-2}),
    case("no_momentum", {**BASE, "momentum": 0.0}),
    case("dampening", {**BASE, "dampening": 0.5}),
    case("nesterov", {**BASE, "nesterov": True}),
    case("sing_always_adapt", {**BASE, "always_adapt": True}, ["sing"]),
]
