# Installs the locked requirements of one environment: pip, behind a filter without execve, on wheels with hashes.
#
# pip comes from the interpreter's own packages, or from the wheel that `ensurepip` carries. What it says goes to
# standard error, which is shown while it works.

import json
import os
import runpy
import sys

EXIT_ISOLATION = 3


def main(settings):
    if settings["isolated"]:
        try:
            confine(bytes.fromhex(settings["filter"]), settings["calls"], ["execve"])
        except NotConfined as error:
            print(f"ERROR: isolation layer seccomp-without-execve is not in force: {error}", file=sys.stderr)
            return EXIT_ISOLATION
    sys.stdout = sys.stderr
    folder = settings["folder"]
    if not find_pip():
        print("ERROR: this Python has no pip; install it (ensurepip, or python3-pip of the system)", file=sys.stderr)
        return 1
    sys.argv = [
        "pip",
        "--no-input",
        "--disable-pip-version-check",
        "install",
        "--require-hashes",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--progress-bar=off",
        "--no-warn-script-location",
        "--target",
        os.path.join(folder, "packages"),
        "--requirement",
        os.path.join(folder, "requirements.txt"),
    ]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
    return 0


def find_pip():
    import importlib.util
    import site

    site.main()
    if importlib.util.find_spec("pip") is not None:
        return True
    folders = ["/usr/share/python-wheels"]
    bundled = importlib.util.find_spec("ensurepip")
    if bundled is not None and bundled.origin:
        folders.insert(0, os.path.join(os.path.dirname(bundled.origin), "_bundled"))
    for folder in folders:
        names = os.listdir(folder) if os.path.isdir(folder) else []
        wheels = sorted(name for name in names if name.startswith("pip-") and name.endswith(".whl"))
        if wheels:
            sys.path.insert(0, os.path.join(folder, wheels[-1]))
            return True
    return False


__fieldmark__ = json.loads(sys.argv.pop(1))
sys.exit(main(__fieldmark__))
