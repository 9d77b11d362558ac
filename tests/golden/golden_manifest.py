"""The MANIFEST of a folder of golden files: which script wrote them, in which version, and their
checksums. tests/support/golden_file.h refuses a file that does not agree with it."""
import hashlib
import os


def write_manifest(folder, script, version):
    """Lists every safetensors file of `folder` as written by `script`, whose VERSION it is."""
    lines = ["%s version %d" % (os.path.basename(script), version)]
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            with open(os.path.join(folder, name), "rb") as f:
                lines.append("%s  %s" % (hashlib.sha256(f.read()).hexdigest(), name))
    with open(os.path.join(folder, "MANIFEST"), "w") as f:
        f.write("\n".join(lines) + "\n")
