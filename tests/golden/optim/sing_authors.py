#!/usr/bin/env python3
"""Writes sing_authors.safetensors by running the authors' own optimizer in float64.

    tests/golden/optim/sing_authors.py PATH/sing.py

PATH: a copy of github.com/AdrienCourtois/SING. Needs PyTorch (2.x). With float64 as default type
the step counter of that file, a default-type tensor, is exact to double precision as well.
"""
import pathlib
import sys

import reference

BASE = {"lr": 5e-3, "weight_decay": 5e-2}


def settings(**options):
    """Arguments of the authors' class."""
    return {**BASE, **options}


CASES = {
    "full": settings(),
    "full_high": settings(lr=5e-2),
    "no_decay": settings(weight_decay=0.0),
    "without_softplus": settings(softplus=False),
    "without_lookahead": settings(lookahead_active=False),
    "plain": settings(softplus=False, lookahead_active=False),
    "without_centralize": settings(grad_central=False),
    "without_normalize": settings(grad_norm=False),
    "without_both": settings(grad_central=False, grad_norm=False),
    "lookahead_options": settings(la_mergetime=3, la_alpha=0.8),
    "betas": settings(betas=(0.8, 0.95), beta_softplus=5),
}


def config_of(o):
    """The same in our words."""
    sing = {"name": "sing"}
    if not o.get("grad_central", True):
        sing["centralize"] = False
    if not o.get("grad_norm", True):
        sing["normalize"] = False
    host = {"name": "adamw", "lr": o["lr"], "weight_decay": o["weight_decay"]}
    if "betas" in o:
        host["betas"] = o["betas"]
    if o.get("softplus", True):
        host["softplus_beta"] = o.get("beta_softplus", 50)
    config = {"transforms": [sing], "host": host}
    if o.get("lookahead_active", True):
        config["lookahead"] = {"every": o.get("la_mergetime", 5), "alpha": o.get("la_alpha", 0.5)}
    return config


def main():
    import public
    path = pathlib.Path(sys.argv[1])
    published = public.source(path.parent, path.name)
    arrays, metadata = {}, {}
    for name, o in CASES.items():
        arrays[name] = public.trajectory(lambda values: published.SING(values, **o))
        metadata[f"case/{name}"] = reference.yaml(config_of(o))
        metadata[f"bound64/{name}"] = "1e-12"
    metadata["torch"] = public.torch.__version__
    reference.save(reference.HERE / "sing_authors.safetensors", arrays, metadata,
                   ["problem.py", "public.py", "sing_authors.py"])


if __name__ == "__main__":
    main()
