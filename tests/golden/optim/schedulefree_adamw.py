"""Schedule-Free AdamW (Defazio et al. 2024); the parameters kept are y, those of training."""
import numpy as np

from reference import HOSTS, Host, case, register, standard


@register(HOSTS, "schedulefree_adamw")
class ScheduleFreeAdamW(Host):
    defaults = {"lr": 2.5e-3, "betas": (0.9, 0.999), "eps": 1e-8, "warmup_steps": 0, "r": 0.0,
                "weight_lr_power": 2.0}
    decoupled = True

    def apply_decay(self, x, eta):
        if not self.is_decoupled:
            super().apply_decay(x, eta)

    def update(self, x, eta):
        o, s = self.o, x.state
        beta1, beta2 = o["betas"]
        if x.t == 1:
            s.update(z=x.theta, x=x.theta, largest=0.0, weights=0.0)
        if o["warmup_steps"] > 0:
            eta = eta * min(1.0, x.t / o["warmup_steps"])
        s["largest"] = max(s["largest"], eta)
        weight = x.t ** o["r"] * s["largest"] ** o["weight_lr_power"]
        s["weights"] += weight
        c = weight / s["weights"]
        if self.is_decoupled:
            s["z"] = s["z"] - eta * x.decay * x.theta
        s["v"] = beta2 * x.slot("v") + (1 - beta2) * x.g * x.g
        s["z"] = s["z"] - eta * x.first / (np.sqrt(s["v"] / (1 - beta2**x.t)) + o["eps"])
        s["x"] = (1 - c) * s["x"] + c * s["z"]
        x.theta = beta1 * s["x"] + (1 - beta1) * s["z"]

    def evaluation(self, tensors):
        return [x.state.get("x", x.theta) for x in tensors]


BASE = {"name": "schedulefree_adamw", "lr": 0.01}

CASES = [c for c in standard("schedulefree_adamw", 0.01, 0.1, 5e-3)
         if c["name"] not in ("sing_lookahead", "sing_cosine")] + [
    case("default", {"name": "schedulefree_adamw"}),
    case("warmup_steps", {**BASE, "warmup_steps": 10}),
    case("warmup_steps_decay", {**BASE, "warmup_steps": 30, "weight_decay": 0.1}),
    case("r", {**BASE, "r": 1.0}),
    case("weight_lr_power", {**BASE, "warmup_steps": 20, "weight_lr_power": 0.5, "r": 0.5}),
    case("betas", {**BASE, "betas": (0.7, 0.95)}),
    case("eps", {**BASE, "eps": 0.1}),
    case("sing_warmup", {**BASE, "warmup_steps": 10, "weight_decay": 0.1}, ["sing"]),
]
