#!/usr/bin/env python3
"""Plants mistakes into copies of the references and tells whether the stored trajectories notice.

    tests/golden/optim/check_planted.py

A host with one of these mistakes would fail its golden test: each must move some trajectory by more
than the bound of that test. Needs numpy only.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
BOUND = 1e-10
ADAM, TRANSFORMS, POST = "adam.py", "transforms.py", "post_steps.py"
SING_ROWS = "return np.stack([row - mean(row) for row in rows]).reshape(g.shape)"

# (mistake, file, text, text instead, golden file that must notice)
MISTAKES = [
    ("eps inside the root", ADAM, "root + o[\"eps\"]",
     "np.sqrt(root * root + o[\"eps\"] ** 2)", "adam"),
    ("eps added before bias correction", ADAM, "root + o[\"eps\"]",
     "root + o[\"eps\"] / math.sqrt(c2)", "adam"),
    ("softplus before bias correction", ADAM, "softplus(root, beta)",
     "softplus(np.sqrt(v), beta) / math.sqrt(c2)", "adam"),
    ("eps beside softplus", ADAM, "softplus(root, beta)", "softplus(root, beta) + o[\"eps\"]",
     "adam"),
    ("amsgrad of the corrected moment", ADAM, "np.maximum(x.slot(\"v_max\"), v)",
     "np.maximum(x.slot(\"v_max\"), v / c2) * c2", "adam"),
    ("first moment not corrected", ADAM, "eta / c1 *", "eta *", "adam"),
    ("corrections by the steps of the run", ADAM, "1 - beta2**x.t",
     "1 - beta2**(x.t + (x.k == 2))", "adam"),
    ("weight decay after the update", "reference.py",
     "            self.apply_decay(x, eta)\n        self.begin(present, eta)\n"
     "        for x in present:\n            self.update(x, eta)",
     "            self.update(x, eta)\n            self.apply_decay(x, eta)", "adamw"),
    ("coupled where decoupled is meant", "adamw.py", "decoupled = True", "decoupled = False",
     "adamw"),
    ("decay on vectors with SING", "reference.py", "if self.matrices and x.rank < 2", "if False",
     "adamw"),
    ("decay without the scheduled rate", "reference.py", "x.theta * (1 - eta * x.decay)",
     "x.theta * (1 - self.o[\"lr\"] * x.decay)", "schedules"),
    ("mean of the whole tensor", TRANSFORMS, "1 if scope == \"tensor\" else g.shape[0]", "1",
     "transforms"),
    ("vectors are centred", TRANSFORMS, "    if g.ndim < 2:\n        return g\n",
     "    if g.ndim < 2:\n        return g - g.mean()\n", "transforms"),
    ("norm taken before centring", TRANSFORMS, "g / (norm(g) + self.o[\"eps\"]) if",
     "g / (norm(x.g) + self.o[\"eps\"]) if", "transforms"),
    ("eps of the norm under the root", TRANSFORMS, "(norm(g) + self.o[\"eps\"])",
     "np.sqrt(norm(g) ** 2 + self.o[\"eps\"] ** 2)", "transforms"),
    ("eps of the norm as a maximum", TRANSFORMS, "(norm(g) + self.o[\"eps\"])",
     "max(norm(g), self.o[\"eps\"])", "transforms"),
    ("noise of a naive mean", TRANSFORMS, SING_ROWS,
     "return np.stack([row - row.astype(np.float32).mean(dtype=np.float32) for row in rows])"
     ".reshape(g.shape)", "transforms"),
    ("one-pass variance", TRANSFORMS,
     "    def of(self, x):\n        g = centred(x.g, self.o[\"scope\"])",
     "    def of(self, x):\n        if x.rank > 1 and self.o[\"normalize\"] and"
     " self.o[\"centralize\"]:\n            r = x.g.reshape(len(x.g), -1)\n"
     "            square = (r * r).sum() - r.shape[1] * (r.mean(1) ** 2).sum()\n"
     "            return centred(x.g, self.o[\"scope\"]) / (math.sqrt(max(square, 0)) +"
     " self.o[\"eps\"])\n        g = centred(x.g, self.o[\"scope\"])", "transforms"),
    ("clip inverted", TRANSFORMS, "min(1.0, self.o[\"max_norm\"] / (norm_of_all",
     "max(1.0, self.o[\"max_norm\"] / (norm_of_all", "transforms"),
    ("clip without its 1e-6", TRANSFORMS, "(norm(x.g) + 1e-6)", "norm(x.g)", "transforms"),
    ("global clip by tensor", TRANSFORMS, "norm_of_all([x.g for x in present])",
     "max(norm(x.g) for x in present)", "transforms"),
    ("AGC over the whole tensor", TRANSFORMS,
     "        if x.rank < 2:\n            return self.unit",
     "        if True:\n            return self.unit", "transforms"),
    ("AdaNorm in the second moment too", TRANSFORMS, "x.first = stretched(x, x.g, self.o[\"r\"])",
     "x.g = x.first = stretched(x, x.g, self.o[\"r\"])", "transforms"),
    ("AdaNorm's average not kept", TRANSFORMS, "usual = x.state[\"adanorm\"] =", "usual =",
     "transforms"),
    ("slow copy taken at the first synchronisation", POST,
     "    def after(self, step, tensors):\n        if step % self.o[\"every\"] == 0:",
     "    def after(self, step, tensors):\n        if step == self.o[\"every\"]:\n"
     "            self.slow = [x.theta.copy() for x in tensors]\n"
     "        if step % self.o[\"every\"] == 0:", "post_steps"),
    ("slow copy never renewed", POST,
     "            self.slow = [x.theta.copy() for x in tensors]\n\n", "\n", "post_steps"),
    ("alpha the other way round", POST, "slow + self.o[\"alpha\"] * (x.theta - slow)",
     "x.theta + self.o[\"alpha\"] * (slow - x.theta)", "post_steps"),
    ("average before LookAhead", "reference.py",
     "        for p in post_steps:\n            averages",
     "        for p in post_steps[::-1]:\n            averages", "post_steps"),
    ("warm-up of the average one step late", POST, "(1 + self.made) **", "self.made **",
     "post_steps"),
    ("momentum buffer starts at zero", "sgd.py", "    if x.t == 1:\n        b = g",
     "    if x.t == 1:\n        b = (1 - o[\"dampening\"]) * g", "sgd"),
    ("rate inside the momentum", "sgd.py", "x.theta - eta * along(x, self.o, x.first)",
     "x.theta - along(x, self.o, eta * x.first)", "schedules"),
    ("old NAdam", "nadam.py", "(1 - product * mu_next) * x.state", "(1 - product * mu_next * mu) *"
     " x.state", "nadam"),
    ("RAdam with rho >= 4", "radam.py", "rho > 5", "rho > 4", "radam"),
    ("AdaBelief's eps not kept", "adabelief.py", "(1 - beta2) * r * r + o[\"eps\"]",
     "(1 - beta2) * r * r", "adabelief"),
    ("AdaBelief about the old mean", "adabelief.py", "r = x.g - m\n",
     "r = x.g - (m - (1 - beta1) * x.first) / beta1\n", "adabelief"),
    ("EAdam's eps not kept", "eadam.py", " * x.g * x.g + self.o[\"eps\"]", " * x.g * x.g",
     "eadam"),
    ("AdaFactor clips with min", "adafactor.py", "max(1.0, rms(u)", "min(1.0, rms(u)",
     "adafactor"),
    ("AdaFactor's eps1 as a maximum", "adafactor.py", "x.g * x.g + self.o[\"eps1\"]",
     "np.maximum(x.g * x.g, self.o[\"eps1\"])", "adafactor"),
    ("AdaFactor factors the first two dimensions", "adafactor.py", "q.mean(-2)",
     "q.mean(-2) if q.ndim == 2 else q.mean(0).mean(-2)", "adafactor"),
    ("LAMB's clip inverted", "lamb.py", "max(1.0, norm_of_all", "min(1.0, norm_of_all", "lamb"),
    ("LAMB's decay outside of the ratio", "lamb.py", "        if not self.is_decoupled:\n",
     "        if False:\n", "lamb"),
    ("LARS takes the norm with decay", "lars.py", "w, length = norm(x.theta), norm(g)",
     "w, length = norm(x.theta), norm(g + in_gradient * x.theta)", "lars"),
    ("Yogi without its start", "yogi.py", "x.slot(\"v\", start)", "x.slot(\"v\")", "yogi"),
    ("AdaBound's final rate fixed", "adabound.py", "o[\"final_lr\"] * eta / o[\"lr\"]",
     "o[\"final_lr\"]", "adabound"),
    ("AdaMod's average corrected", "adamod.py", "np.minimum(rate, n)",
     "np.minimum(rate, n / (1 - o[\"beta3\"]**x.t))", "adamod"),
    ("SAdam corrects inside softplus", "sadam.py", "softplus(np.sqrt(v), o[\"beta\"])",
     "softplus(np.sqrt(v / c2), o[\"beta\"]) * math.sqrt(c2)", "sadam"),
    ("AdamNorm stretches the second moment", "adamnorm.py", "x.first = stretched",
     "x.g = x.first = stretched", "adamnorm"),
    ("Lion steps along the new momentum", "lion.py", "np.sign(beta1 * m +",
     "np.sign(beta2 * m +", "lion"),
    ("Muon's scale the other way round", "muon.py", "max(1.0, rows / cols)",
     "max(1.0, cols / rows)", "muon"),
    ("Muon without Nesterov", "muon.py", "if o[\"nesterov\"] else m", "if False else m", "muon"),
    ("Schedule-Free decays at z", "schedulefree_adamw.py", "eta * x.decay * x.theta",
     "eta * x.decay * s[\"z\"]", "schedulefree_adamw"),
    ("Schedule-Free weights all steps alike", "schedulefree_adamw.py",
     "weight = x.t ** o[\"r\"] * s[\"largest\"] ** o[\"weight_lr_power\"]", "weight = 1.0",
     "schedulefree_adamw"),
    ("ADOPT divides by the new moment", "adopt.py",
     "        limit = (x.t - 1) ** o[\"clip_power\"]\n",
     "        limit = (x.t - 1) ** o[\"clip_power\"]\n"
     "        x.state[\"v\"] = beta2 * x.state[\"v\"] + (1 - beta2) * x.g * x.g\n", "adopt"),
    ("ADOPT moves in its first step", "adopt.py", "            return\n", "", "adopt"),
    ("NGD with a norm for each tensor", "ngd.py", "x.state[\"m\"] / self.length",
     "x.state[\"m\"] / norm_of_all([x.state[\"m\"]])", "ngd"),
]

REPLAY = """
import sys
import numpy as np
import write, reference
name = sys.argv[1]
stored, _ = reference.load(reference.HERE / (name + ".safetensors"))
worst, where = 0.0, ""
for case in write.modules()[name].CASES:
    try:
        got = reference.trajectory(case["config"])
    except Exception as problem:
        worst, where = np.inf, case["name"]
        break
    for suffix, array in got.items():
        want = stored.get(case["name"] + suffix, array)
        error = np.abs(array - want).max() / np.abs(want).max()
        if not error <= worst:
            worst, where = error, case["name"]
print("%.1e" % worst, where)
"""


def error_of(folder, golden):
    done = subprocess.run([sys.executable, "-B", "-W", "ignore", "-c", REPLAY, golden], cwd=folder,
                          check=True, capture_output=True, text=True)
    worst, where = (done.stdout.split() + [""])[:2]
    return float(worst), where


def main():
    missed = 0
    for mistake, file, text, instead, golden in MISTAKES:
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "optim"
            shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
            source = (copy / file).read_text()
            assert source.count(text) >= 1, (mistake, text)
            (copy / file).write_text(source.replace(text, instead))
            worst, where = error_of(copy, golden)
        missed += worst <= BOUND
        verdict = "MISSED" if worst <= BOUND else "caught"
        print(f"{verdict} {mistake:46s} {worst:.1e} {golden}.{where}")
    for golden in sorted({m[4] for m in MISTAKES}):
        worst, where = error_of(HERE, golden)
        assert worst <= 1e-14, (golden, where, worst)
    print(f"{len(MISTAKES)} mistakes, {missed} missed")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
