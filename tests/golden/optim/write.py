#!/usr/bin/env python3
"""Writes <host>.safetensors, transforms.safetensors, ... beside the scripts that describe them.

    tests/golden/optim/write.py [name ...]      (default: all)

Needs numpy only. Every file beside this one that describes hosts or stages is run. Of a case the
file holds `<case>`: [5, 161] float64, the parameters after steps 1, 2, 5, 25 and 100, all six
tensors one behind the other; `<case>/average` where averages are kept. The metadata holds the YAML
of each case (`case/<name>`), sometimes an own bound for float32 (`bound32/<name>`), and the
checksums that the test verifies.
"""
import ast
import importlib
import sys

import reference

SHARED = ["problem", "reference", "transforms", "post_steps", "schedules"]
OTHERS = ["problem", "reference", "write", "public", "check_public", "check_planted",
          "sing_authors"]  # no cases


def modules():
    """What describes hosts and stages, by name."""
    names = sorted(p.stem for p in reference.HERE.glob("*.py"))
    return {n: importlib.import_module(n) for n in names if n not in OTHERS}


def scripts_of(name, found=None):
    """The files whose text decides about the numbers: SHARED, and what `name` imports."""
    found = list(SHARED) if found is None else found
    if name not in found:
        found.append(name)
        for node in ast.walk(ast.parse((reference.HERE / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (reference.HERE / f"{node.module}.py").exists():
                scripts_of(node.module, found)
    return found


def main():
    found = modules()
    for name in sys.argv[1:] or found:
        cases = found[name].CASES
        arrays, metadata = {}, {}
        for case in cases:
            assert f"case/{case['name']}" not in metadata, case["name"]
            for suffix, array in reference.trajectory(case["config"]).items():
                arrays[case["name"] + suffix] = array
            metadata[f"case/{case['name']}"] = reference.yaml(case["config"])
            if case["bound32"]:
                metadata[f"bound32/{case['name']}"] = "{} {}".format(*case["bound32"])
        reference.save(reference.HERE / f"{name}.safetensors", arrays, metadata,
                       [f"{script}.py" for script in scripts_of(name)])
        print(f"{name:24s} {len(cases):3d} cases")


if __name__ == "__main__":
    main()
