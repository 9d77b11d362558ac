"""AdamW (Loshchilov & Hutter 2019): Adam with decoupled weight decay."""
from adam import Adam, options_of
from reference import HOSTS, case, register, standard


@register(HOSTS, "adamw")
class AdamW(Adam):
    defaults = {**Adam.defaults, "weight_decay": 1e-2}
    decoupled = True


CASES = standard("adamw", 0.01, 0.1, 5e-3) + options_of("adamw") + [
    case("no_decay", {"name": "adamw", "lr": 0.01, "weight_decay": 0.0}),
    case("sing_decay_all", {"name": "adamw", "lr": 5e-3, "weight_decay": 0.1, "decay": "all"},
         ["sing"]),
    case("sing_coupled", {"name": "adamw", "lr": 5e-3, "weight_decay": 0.1, "decoupled": False},
         ["sing"]),
]
