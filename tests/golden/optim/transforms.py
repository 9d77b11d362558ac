"""The stages ahead of a host. Their cases run over SGD, whose step shows g' itself, and Adam."""
import math

import numpy as np

from reference import TRANSFORMS, case, norm, norm_of_all, register


def centred(g, scope):
    if g.ndim < 2:
        return g
    rows = g.reshape(1 if scope == "tensor" else g.shape[0], -1)
    return np.stack([row - mean(row) for row in rows]).reshape(g.shape)


def mean(row):
    """To the last bit, so that a constant row becomes zero."""
    first = math.fsum(row) / row.size
    return first + math.fsum(row - first) / row.size


class Stage:
    defaults = {}
    only_scales = False  # multiplies whole tensors by a positive number at most

    def __init__(self, options):
        self.o = {**self.defaults, **options}
        assert not set(self.o) - set(self.defaults) - {"name"}

    def normalizes(self):
        return False

    def apply(self, present):
        for x in present:
            x.g = x.first = self.of(x)


@register(TRANSFORMS, "centralize")
class Centralize(Stage):
    defaults = {"scope": "row", "conv_only": False}

    def of(self, x):
        return x.g if self.o["conv_only"] and x.rank < 4 else centred(x.g, self.o["scope"])


@register(TRANSFORMS, "normalize")
class Normalize(Stage):
    defaults = {"eps": 1e-8}

    def normalizes(self):
        return True

    def of(self, x):
        return x.g / (norm(x.g) + self.o["eps"])


@register(TRANSFORMS, "sing")
class Sing(Stage):
    defaults = {"centralize": True, "normalize": True, "eps": 1e-8, "scope": "row"}

    def normalizes(self):
        return self.o["normalize"]

    def of(self, x):
        g = centred(x.g, self.o["scope"]) if self.o["centralize"] else x.g
        return g / (norm(g) + self.o["eps"]) if self.o["normalize"] else g


@register(TRANSFORMS, "clip_global_norm")
class ClipGlobalNorm(Stage):
    defaults = {"max_norm": 1.0}
    only_scales = True

    def apply(self, present):
        factor = min(1.0, self.o["max_norm"] / (norm_of_all([x.g for x in present]) + 1e-6))
        for x in present:
            x.g = x.first = factor * x.g


@register(TRANSFORMS, "clip_tensor_norm")
class ClipTensorNorm(Stage):
    defaults = {"max_norm": 1.0}
    only_scales = True

    def of(self, x):
        return min(1.0, self.o["max_norm"] / (norm(x.g) + 1e-6)) * x.g


@register(TRANSFORMS, "clip_value")
class ClipValue(Stage):
    defaults = {"max_value": 1.0}

    def of(self, x):
        return np.clip(x.g, -self.o["max_value"], self.o["max_value"])


@register(TRANSFORMS, "agc")
class Agc(Stage):
    """Brock et al. 2021; a unit is an output row, or a whole tensor of rank < 2."""
    defaults = {"clip_factor": 0.01, "eps": 1e-3}

    def unit(self, g, theta):
        largest = self.o["clip_factor"] * max(norm(theta), self.o["eps"])
        length = norm(g)
        return g * (largest / max(length, 1e-6)) if length >= largest else g

    def of(self, x):
        if x.rank < 2:
            return self.unit(x.g, x.theta)
        return np.stack([self.unit(g, v) for g, v in zip(x.g, x.theta)])


@register(TRANSFORMS, "adanorm")
class AdaNorm(Stage):
    """Dubey et al. 2023: short gradients are stretched to the usual length; second moments keep
    the gradient itself."""
    defaults = {"r": 0.95}

    def apply(self, present):
        for x in present:
            x.first = stretched(x, x.g, self.o["r"])


def stretched(x, g, r):
    length = norm(g)
    usual = x.state["adanorm"] = r * x.state.get("adanorm", 0.0) + (1 - r) * length
    return g * (usual / length) if usual > length > 0 else g


SGD = {"name": "sgd", "lr": 1e-3}
SGD_UNIT = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
ADAM = {"name": "adam", "lr": 0.01}


def on_hosts(name, transforms):
    return [case(name + "_sgd", SGD, transforms), case(name + "_adam", ADAM, transforms)]


def stage(name, **options):
    return {"name": name, **options}


CASES = [
    case("sing_sgd", SGD_UNIT, ["sing"]),
    case("sing_adam", ADAM, ["sing"]),
    case("sing_eps", SGD_UNIT, [stage("sing", eps=0.5)]),
    case("sing_scope_tensor", SGD_UNIT, [stage("sing", scope="tensor")]),
    case("sing_scope_row", SGD_UNIT, [stage("sing", scope="row")]),
    case("sing_without_centralize", SGD_UNIT, [stage("sing", centralize=False)]),
    *on_hosts("sing_without_normalize", [stage("sing", normalize=False)]),
    *on_hosts("centralize", ["centralize"]),
    *on_hosts("centralize_tensor", [stage("centralize", scope="tensor")]),
    *on_hosts("centralize_conv_only", [stage("centralize", conv_only=True)]),
    case("normalize_sgd", SGD_UNIT, ["normalize"]),
    case("normalize_adam", ADAM, ["normalize"]),
    case("normalize_eps", SGD_UNIT, [stage("normalize", eps=0.5)]),
    case("centralize_normalize", SGD_UNIT, ["centralize", "normalize"]),
    *on_hosts("clip_global_norm", ["clip_global_norm"]),
    *on_hosts("clip_global_norm_high", [stage("clip_global_norm", max_norm=500.0)]),
    *on_hosts("clip_tensor_norm", ["clip_tensor_norm"]),
    *on_hosts("clip_tensor_norm_low", [stage("clip_tensor_norm", max_norm=0.01)]),
    *on_hosts("clip_value", ["clip_value"]),
    *on_hosts("clip_value_low", [stage("clip_value", max_value=0.01)]),
    *on_hosts("agc", ["agc"]),
    *on_hosts("agc_options", [stage("agc", clip_factor=0.5, eps=0.3)]),
    *on_hosts("adanorm", ["adanorm"]),
    case("adanorm_r_adamw", {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
         [stage("adanorm", r=0.5)]),
    case("adanorm_decay_adam", {**ADAM, "weight_decay": 0.1}, ["adanorm"]),
    case("sing_clip_global_norm", ADAM, ["sing", "clip_global_norm"]),
    case("sing_clip_value", SGD_UNIT, ["sing", stage("clip_value", max_value=0.1)]),
    case("agc_sing", SGD_UNIT, ["agc", "sing"],
         (1e-2, "values near 1000 with a spread of 0.01 may be rounded before they are centred")),
    case("clip_value_sing", SGD_UNIT, [stage("clip_value", max_value=0.2), "sing"]),
    case("clip_global_norm_sing", SGD_UNIT, ["clip_global_norm", "sing"]),
    case("clip_tensor_norm_sing", SGD_UNIT, ["clip_tensor_norm", "sing"]),
]
