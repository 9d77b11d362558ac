#!/usr/bin/env python3
"""Writes <host>.safetensors, transforms.safetensors, ... beside the scripts that describe them.

    tests/golden/optim/write.py [name ...]      (default: all)

Needs numpy only. Every file beside this one that has CASES is run. Of a case the file holds
`<case>`: [5, 161] float64, the parameters after steps 1, 2, 5, 25 and 100, all six tensors one
behind the other; `<case>/average` where averages are kept. The metadata holds the YAML of each
case (`case/<name>`), sometimes an own bound for float32 (`bound32/<name>`), and the checksums that
the test verifies.
"""
import importlib
import sys

import reference

SHARED = ["reference.py", "transforms.py", "post_steps.py", "schedules.py"]
OTHERS = ["write", "public", "check_public", "sing_authors"]  # no cases of ours


def modules():
    """Host files by name; those of SHARED too, where they have cases."""
    names = sorted(p.stem for p in reference.HERE.glob("*.py"))
    return {n: importlib.import_module(n) for n in names if n not in OTHERS}


def main():
    found = modules()
    for name in sys.argv[1:] or found:
        cases = getattr(found[name], "CASES", None)
        if cases is None:
            continue
        arrays, metadata = {}, {}
        for case in cases:
            assert f"case/{case['name']}" not in metadata, case["name"]
            for suffix, array in reference.trajectory(case["config"]).items():
                arrays[case["name"] + suffix] = array
            metadata[f"case/{case['name']}"] = reference.yaml(case["config"])
            if case["bound32"]:
                metadata[f"bound32/{case['name']}"] = "{} {}".format(*case["bound32"])
        script = f"{name}.py"
        scripts = SHARED + ([script] if script not in SHARED else [])
        reference.save(reference.HERE / f"{name}.safetensors", arrays, metadata, scripts)
        print(f"{name:24s} {len(cases):3d} cases")


if __name__ == "__main__":
    main()
