"""AdaFactor (Shazeer & Stern 2018) as in fairseq, with a rate that stays local to the tensor."""
import math

import numpy as np

from reference import HOSTS, Host, case, register, rms, softplus, standard


@register(HOSTS, "adafactor")
class AdaFactor(Host):
    defaults = {"eps1": 1e-30, "eps2": 1e-3, "clip_threshold": 1.0, "decay_rate": -0.8,
                "beta1": None, "scale_parameter": True, "relative_step": True,
                "warmup_init": False, "softplus_beta": None}
    decoupled = True

    def rate(self, x, eta):
        o = self.o
        if o["relative_step"]:
            eta = min(1e-6 * x.t if o["warmup_init"] else 1e-2, 1 / math.sqrt(x.t))
        return eta * max(o["eps2"], rms(x.theta)) if o["scale_parameter"] else eta

    def apply_decay(self, x, eta):
        x.state["rate"] = self.rate(x, eta)
        super().apply_decay(x, x.state["rate"])

    def root(self, x):
        """The root of the estimated second moment."""
        keep = 1 - x.t ** self.o["decay_rate"]
        q = x.g * x.g + self.o["eps1"]
        if x.rank < 2:
            v = x.state["v"] = keep * x.slot("v") + (1 - keep) * q
            return np.sqrt(v)
        r = x.state["r"] = keep * x.state.get("r", 0.0) + (1 - keep) * q.mean(-1)
        c = x.state["c"] = keep * x.state.get("c", 0.0) + (1 - keep) * q.mean(-2)
        r = r / r.mean(-1, keepdims=True)
        return np.sqrt(r)[..., None] * np.sqrt(c)[..., None, :]

    def update(self, x, eta):
        o = self.o
        root = self.root(x)
        if o["softplus_beta"] is not None:
            root = softplus(root, o["softplus_beta"])
        u = x.first / root
        u = u / max(1.0, rms(u) / o["clip_threshold"])
        u = x.state["rate"] * u
        if o["beta1"] is not None:
            u = x.state["m"] = o["beta1"] * x.slot("m") + (1 - o["beta1"]) * u
        x.theta = x.theta - u


EXTERNAL = {"relative_step": False, "scale_parameter": False}
BASE = {"name": "adafactor", "lr": 0.01, **EXTERNAL}

CASES = standard("adafactor", 0.01, 0.1, 0.01, **EXTERNAL) + [
    case("default", {"name": "adafactor"}),
    case("default_decay", {"name": "adafactor", "weight_decay": 0.5}),
    case("default_coupled", {"name": "adafactor", "weight_decay": 0.5, "decoupled": False}),
    case("relative_step", {"name": "adafactor", "scale_parameter": False}),
    case("warmup_init", {"name": "adafactor", "warmup_init": True}),
    case("scale_parameter", {"name": "adafactor", "lr": 0.05, "relative_step": False}),
    case("scale_parameter_decay",
         {"name": "adafactor", "lr": 0.05, "relative_step": False, "weight_decay": 0.5}),
    case("eps2", {"name": "adafactor", "lr": 0.05, "relative_step": False, "eps2": 0.5}),
    case("eps1", {**BASE, "eps1": 1e-4}),
    case("clip_threshold", {**BASE, "clip_threshold": 0.3}),
    case("decay_rate", {**BASE, "decay_rate": -0.5}),
    case("beta1", {**BASE, "beta1": 0.9}),
    case("beta1_default", {"name": "adafactor", "beta1": 0.9, "weight_decay": 0.5}),
    case("softplus", {**BASE, "softplus_beta": 50}),
    case("sing_softplus", {**BASE, "softplus_beta": 50, "weight_decay": 0.05}, ["sing"]),
    case("sing_beta1", {**BASE, "beta1": 0.9, "weight_decay": 0.05}, ["sing"]),
    case("sing_relative_step", {"name": "adafactor"}, ["sing"]),
]
