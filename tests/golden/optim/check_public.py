#!/usr/bin/env python3
"""Compares our float64 references with implementations that others published.

    tests/golden/optim/check_public.py [--sources FOLDER]

Needs PyTorch; uses what else is installed (timm, torch_optimizer, adabelief_pytorch, schedulefree,
lion_pytorch, optax with jax) and, in FOLDER, copies of published files (named in FILES). Prints the
worst relative difference over 100 steps for each comparison and what could not be compared. Known
deviations of the others are worked round where a line says so, or left out.
"""
import argparse
import contextlib
import importlib
import io
import warnings

import torch

import problem
import public
import reference
import write

FILES = {
    "adafactor.py": "facebookresearch/fairseq, fairseq/optim/adafactor.py",
    "muon.py": "KellerJordan/Muon",
    "EAdam.py": "yuanwei2019/EAdam-optimizer",
    "Sadam.py": "neilliang90/Sadam, optimizer/Sadam.py",
    "AdamNorm.py": "shivram1987/AdaNorm, CIFAR10/AdamNorm.py",
    "adopt.py": "iShohei220/adopt, src/adopt/adopt.py",
}
EDITS = {  # to run them in full precision, and alone
    "muon.py": [(".bfloat16()", ".double()")],
    "adafactor.py": [
        ("from . import LegacyFairseqOptimizer, register_optimizer",
         "LegacyFairseqOptimizer, register_optimizer = object, lambda _: lambda kind: kind")],
}
ALL = range(len(problem.SHAPES))
CHECKS = []


def check(file, cases, who, needs=None, tensors=ALL, **more):
    """The decorated function gets (module, tensors, options of the host) and makes an optimizer.
    `needs`: module or file to import; `tensors`: those that can be compared."""
    def add(function):
        CHECKS.append((file, cases.split(), who, needs, tensors, function, more))
        return function
    return add


def adam_options(o):
    return {k: o[k] for k in ("lr", "betas", "eps", "weight_decay")}


@check("sgd", "alone decay momentum momentum_decay dampening nesterov nesterov_decay", "torch SGD")
def sgd(_, values, o):
    return torch.optim.SGD(values, lr=o["lr"], momentum=o["momentum"], dampening=o["dampening"],
                           weight_decay=o["weight_decay"], nesterov=o["nesterov"])


@check("adam", "alone decay betas betas_zero eps amsgrad amsgrad_decay", "torch Adam")
def adam(_, values, o):
    return torch.optim.Adam(values, amsgrad=o["amsgrad"], **adam_options(o))


@check("adam", "decoupled", "torch AdamW")
@check("adamw", "alone decay no_decay betas betas_zero eps amsgrad amsgrad_decay", "torch AdamW")
def adamw(_, values, o):
    return torch.optim.AdamW(values, amsgrad=o["amsgrad"], **adam_options(o))


@check("adabelief", "alone decay coupled plain plain_decay betas plain_betas eps plain_eps",
       "adabelief_pytorch 0.2", "adabelief_pytorch")
def adabelief(package, values, o):
    return package.AdaBelief(values, rectify=o["rectify"], print_change_log=False,
                             weight_decouple=o["decoupled"] is not False,
                             degenerated_to_sgd=True, **adam_options(o))


# The rate of the group is overwritten there, so scale_parameter with an own rate is left out; a
# beta1 of None is "no first moment".
@check("adafactor", "alone decay default default_decay relative_step warmup_init eps1 "
       "clip_threshold decay_rate beta1 beta1_default", "fairseq adafactor.py", "adafactor.py")
def adafactor(package, values, o):
    return package.Adafactor(
        values, lr=None if o["relative_step"] else o["lr"], eps=(o["eps1"], o["eps2"]),
        clip_threshold=o["clip_threshold"], decay_rate=o["decay_rate"], beta1=o["beta1"],
        weight_decay=o["weight_decay"], scale_parameter=o["scale_parameter"],
        relative_step=o["relative_step"], warmup_init=o["warmup_init"])


# Theirs counts the steps of the group, so a tensor with a missing gradient (2) differs after it,
# and with it the norm that clips all.
@check("lamb", "no_clip always_adapt trust_clip no_bias_correction betas_eps", "timm Lamb",
       "timm.optim", (0, 1, 3, 4, 5))
@check("lamb", "decoupled no_bias_correction", "timm Lamb", "timm.optim")
def lamb(package, values, o):
    return package.Lamb(values, bias_correction=o["bias_correction"],
                        max_grad_norm=o["max_grad_norm"], trust_clip=o["trust_clip"],
                        always_adapt=o["always_adapt"], decoupled_decay=bool(o["decoupled"]),
                        **adam_options(o))


@check("lars", "alone decay default_rate always_adapt trust_clip trust_clip_coefficient "
       "trust_coefficient eps no_momentum dampening nesterov", "timm Lars", "timm.optim")
def lars(package, values, o):
    return package.Lars(values, lr=o["lr"], momentum=o["momentum"], dampening=o["dampening"],
                        weight_decay=o["weight_decay"], nesterov=o["nesterov"],
                        trust_coeff=o["trust_coefficient"], eps=o["eps"],
                        trust_clip=o["trust_clip"], always_adapt=o["always_adapt"])


@check("nadam", "alone decay default betas eps momentum_decay no_momentum_decay",
       "torch NAdam (2.x)")
@check("nadam", "decoupled", "torch NAdam, decoupled (2.x)")
def nadam(_, values, o):
    return torch.optim.NAdam(values, momentum_decay=o["momentum_decay"],
                             decoupled_weight_decay=bool(o["decoupled"]), **adam_options(o))


@check("radam", "alone decay default betas betas_short eps decoupled", "torch RAdam")
def radam(_, values, o):
    return torch.optim.RAdam(values, decoupled_weight_decay=bool(o["decoupled"]),
                             **adam_options(o))


@check("yogi", "alone decay default betas eps initial_accumulator initial_zero",
       "torch_optimizer Yogi", "torch_optimizer")
def yogi(package, values, o):
    return package.Yogi(values, initial_accumulator=o["initial_accumulator"], **adam_options(o))


@check("adabound", "alone decay gamma final_lr betas eps amsbound", "torch_optimizer AdaBound",
       "torch_optimizer")
def adabound(package, values, o):
    return package.AdaBound(values, final_lr=o["final_lr"], gamma=o["gamma"],
                            amsbound=o["amsbound"], **adam_options(o))


# Theirs shrinks with the rate times decay, as decoupled decay does.
@check("adamod", "alone decay default beta3 betas eps", "torch_optimizer AdaMod",
       "torch_optimizer")
def adamod(package, values, o):
    return package.AdaMod(values, beta3=o["beta3"], **adam_options(o))


@check("eadam", "alone decay default betas eps", "authors' EAdam.py", "EAdam.py")
def eadam(package, values, o):
    return package.EAdam(values, **adam_options(o))


@check("sadam", "alone decay default beta betas amsgrad amsgrad_decay", "authors' Sadam.py",
       "Sadam.py")
def sadam(package, values, o):
    return package.Sadam(values, lr=o["lr"], betas=o["betas"], weight_decay=o["weight_decay"],
                         amsgrad=o["amsgrad"], smooth=o["beta"], partial=0.5)


# Theirs gives NaN for a zero gradient (tensor 1) and adds eps into the second moment at each step.
@check("adamnorm", "no_eps no_eps_decay", "authors' AdamNorm.py", "AdamNorm.py", (0, 2, 3, 4, 5))
def adamnorm(package, values, o):
    return package.AdamNorm(values, weight_decouple=False, rectify=False,
                            **adam_options(o))


@check("lion", "alone decay default betas betas_zero", "lion_pytorch", "lion_pytorch")
@check("lion", "alone decay default betas betas_zero", "timm Lion", "timm.optim")
def lion(package, values, o):
    return package.Lion(values, lr=o["lr"], betas=o["betas"], weight_decay=o["weight_decay"])


# In full precision; matrices only (theirs batches tensors of three dimensions, scales filters by
# their last two, and takes a missing gradient for zero), vectors by its own AdamW.
@check("muon", "alone decay default momentum auxiliary", "author's muon.py in f64", "muon.py",
       (0, 1, 4, 5))
def muon(package, values, o):
    ours = {"lr": 3e-4, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.0}
    rest = {**ours, **{k: v for k, v in o["auxiliary"].items() if k != "name"}}
    return package.SingleDeviceMuonWithAuxAdam([
        {"params": [v for v in values if v.ndim > 1], "use_muon": True, "lr": o["lr"],
         "momentum": o["momentum"], "weight_decay": o["weight_decay"]},
        {"params": [v for v in values if v.ndim < 2], "use_muon": False, **rest}])


# Theirs counts the steps of the group, so a tensor with a missing gradient (2) differs after it.
@check("schedulefree_adamw", "alone decay default warmup_steps warmup_steps_decay r "
       "weight_lr_power betas eps", "schedulefree, reference", "schedulefree", (0, 1, 3, 4, 5))
def schedulefree_adamw(package, values, o):
    return package.AdamWScheduleFreeReference(
        values, warmup_steps=o["warmup_steps"], r=o["r"], weight_lr_power=o["weight_lr_power"],
        **adam_options(o))


@check("adopt", "alone decay decoupled default betas eps clip_power clip_power_zero",
       "authors' adopt.py", "adopt.py")
def adopt(package, values, o):
    power = o["clip_power"]
    return package.ADOPT(values, clip_lambda=lambda step: step**power,
                         decouple=bool(o["decoupled"]), **adam_options(o))


def clip(function):
    def change(values):
        function([v for v in values if v.grad is not None])
    return change


def each(function):
    def change(values):
        for v in values:
            if v.grad is not None:
                function(v)
    return change


def sgd_or_adam(_, values, o):
    if o["name"] == "adam":
        return adam(_, values, o)
    return sgd(_, values, o)


def compare_transform(cases, who, needs, make_change):
    CHECKS.append(("transforms", cases.split(), who, needs, ALL, sgd_or_adam,
                   {"change": make_change}))


def sgd_or_adamw(_, values, o):
    return (sgd if o["name"] == "sgd" else adamw)(_, values, o)


clips = torch.nn.utils
compare_transform("clip_global_norm_sgd clip_global_norm_adam", "torch clip_grad_norm_", None,
                  lambda _: clip(lambda p: clips.clip_grad_norm_(p, 1.0)))
compare_transform("clip_tensor_norm_sgd clip_tensor_norm_adam", "torch clip_grad_norm_", None,
                  lambda _: each(lambda p: clips.clip_grad_norm_([p], 1.0)))
compare_transform("clip_value_low_sgd clip_value_low_adam", "torch clip_grad_value_", None,
                  lambda _: clip(lambda p: clips.clip_grad_value_(p, 0.01)))
compare_transform("agc_sgd agc_adam", "timm adaptive_clip_grad", "timm.utils.agc",
                  lambda m: clip(lambda p: m.adaptive_clip_grad(p)))
compare_transform("agc_options_sgd agc_options_adam", "timm adaptive_clip_grad", "timm.utils.agc",
                  lambda m: clip(lambda p: m.adaptive_clip_grad(p, clip_factor=0.5, eps=0.3)))

rates = torch.optim.lr_scheduler
SCHEDULERS = {
    "cosine": lambda o: rates.CosineAnnealingLR(o, 100),
    "step": lambda o: rates.StepLR(o, 15, 0.5),
    "multistep": lambda o: rates.MultiStepLR(o, [10, 40, 40], 0.5),
    "linear_rise": lambda o: rates.LinearLR(o, 0.2, 1.0, 60),
    "one_cycle": lambda o: rates.OneCycleLR(o, 2e-3, 100, cycle_momentum=False),
    "one_cycle_options": lambda o: rates.OneCycleLR(o, 2e-3, 100, pct_start=0.5, div_factor=5,
                                                    final_div_factor=100, cycle_momentum=False),
}
for scheduler_name in ("one_cycle_momentum_sgd", "one_cycle_momentum_adamw"):
    SCHEDULERS[scheduler_name] = lambda o: rates.OneCycleLR(o, o.param_groups[0]["lr"], 100)
for scheduler_name, scheduler in SCHEDULERS.items():
    CHECKS.append(("schedules", [scheduler_name], "torch lr_scheduler", None, ALL, sgd_or_adamw,
                   {"schedule": scheduler}))


def average_of_torch(decay=None, first=1, every=1):
    """torch.optim.swa_utils over a module that holds the tensors; no decay: equal weights."""
    def make(_):
        kept = {}

        def average(step, values):
            model = torch.nn.ParameterList(values)
            if step < first:
                return values
            if not kept:
                utils = torch.optim.swa_utils
                rule = None if decay is None else utils.get_ema_multi_avg_fn(decay)
                kept["model"] = utils.AveragedModel(model, multi_avg_fn=rule)
            if (step - first) % every == 0:
                kept["model"].update_parameters(model)
            return list(kept["model"].module)
        return average
    return make


def average_of_timm(decay):
    def make(package):
        kept = {}

        def average(step, values):
            model = torch.nn.ParameterList(values)
            if not kept:
                kept["model"] = package.ModelEmaV3(model, decay=decay, use_warmup=True)
            kept["model"].update(model, step=step)
            return list(kept["model"].module)
        return average
    return make


for average_name, who, needs, make_average in [
        ("ema", "torch AveragedModel", None, average_of_torch(0.9)),
        ("ema_default", "torch AveragedModel", None, average_of_torch(0.9999)),
        ("swa", "torch AveragedModel", None, average_of_torch(None, 20, 5)),
        ("swa_each_step", "torch AveragedModel", None, average_of_torch()),
        ("ema_warmup", "timm ModelEmaV3", "timm.utils.model_ema", average_of_timm(0.9)),
        ("ema_warmup_slow", "timm ModelEmaV3", "timm.utils.model_ema", average_of_timm(0.9999))]:
    CHECKS.append(("post_steps", [average_name], who, needs, ALL, sgd_or_adamw,
                   {"average": make_average}))


def needed(needs, sources):
    """The module, or why there is none."""
    if needs is None:
        return None, ""
    if needs in FILES:
        if sources is None:
            return None, f"needs --sources with {needs} of {FILES[needs]}"
        try:
            return public.source(sources, needs, EDITS.get(needs, ())), ""
        except OSError as problem:
            return None, str(problem)
    try:
        return importlib.import_module(needs), ""
    except ImportError as problem:
        return None, f"needs {needs}: {problem}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sources")
    sources = parser.parse_args().sources
    warnings.filterwarnings("ignore")
    public.allow_old_signatures()
    modules = write.modules()
    compared = set()
    for file, cases, who, needs, tensors, make, more in CHECKS:
        package, why = needed(needs, sources)
        if why:
            print(f"{file:20s} {who:34s} not compared: {why}")
            continue
        stored, _ = reference.load(reference.HERE / f"{file}.safetensors")
        configs = {c["name"]: c["config"] for c in modules[file].CASES}
        worst, where, done = 0.0, "", 0
        for name in cases:
            host = configs[name]["host"]
            options = reference.HOSTS[host["name"]](host, False).o
            options["name"] = host["name"]
            parts = {k: f if k == "schedule" else f(package) for k, f in more.items()}
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # some talk
                    got = public.trajectory(lambda v: make(package, v, options), **parts)
            except Exception as problem:  # theirs may not run with this PyTorch
                print(f"{file:20s} {who:34s} {name} failed: {problem!r}"[:150])
                continue
            want = stored[name + ("/average" if "average" in more else "")]
            difference = public.difference(got, want, tensors)
            compared.add((file, name))
            done += 1
            if difference > 1e-10:
                print(f"{'':20s} {name}: {difference:.1e}")
            if difference >= worst:
                worst, where = difference, name
        print(f"{file:20s} {who:34s} {worst:.1e} ({where}; {done} cases)")
    print(f"{len(compared)} cases compared")


if __name__ == "__main__":
    main()
