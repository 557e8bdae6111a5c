"""Debian packages: installed where they can't hurt, unpacked where they would.

Mail servers conflict with one another, and with whatever serves mail on this machine: they
are downloaded and unpacked into a folder of ours, and run in a mount namespace that lays that
folder over /usr. Only libraries and tools are installed.
"""
import glob
import os
import re
import subprocess

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = ["build-essential", "cmake", "ninja-build", "pkg-config", "liburing-dev", "libjemalloc-dev", "libcmocka-dev",
         "android-libboringssl-dev", "libcrypt-dev", "libc-ares-dev", "libidn2-dev", "openssl"]


class Trouble(Exception):
    """Something that the user can be told in one line."""


def need(names):
    """Installs what is missing of these, and starts none of it."""
    script = '. "$1/tests/packages.sh"; shift; need_packages "$@"'
    if subprocess.run(["bash", "-c", script, "bash", TOP] + sorted(names), stdin=subprocess.DEVNULL).returncode:
        raise Trouble("packages are missing: install %s" % " ".join(sorted(names)))


def libraries_of(deb, unpacked):
    """The libraries that a package depends on; the first of alternatives."""
    fields = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], check=True, capture_output=True, text=True).stdout
    names = {re.sub(r"[ (:|].*", "", entry.strip()) for entry in fields.split(",") if entry.strip()}
    return {n for n in names if n.startswith("lib") and n not in unpacked}


def fetch(package, folder):
    """The package's file in `folder`, downloaded unless it is there."""
    found = glob.glob(os.path.join(folder, package + "_*.deb"))
    if not found:
        got = subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=folder,
                             capture_output=True, text=True)
        if got.returncode:  # lists that are old, or none
            subprocess.run(["apt-get", "-qq", "update"], capture_output=True)
            got = subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=folder,
                                 capture_output=True, text=True)
        if got.returncode:
            raise Trouble("apt-get download %s: %s" % (package, got.stderr.strip().replace("\n", " ")))
        found = glob.glob(os.path.join(folder, package + "_*.deb"))
    return found[0]


def unpack(packages, cache):
    """Unpacks them together; returns the folder that holds their usr and etc."""
    root = os.path.join(cache, "-".join(sorted(packages)))
    debs = os.path.join(cache, "debs")
    os.makedirs(debs, exist_ok=True)
    files = [fetch(p, debs) for p in packages]
    need(set().union(*(libraries_of(f, packages) for f in files)))
    if not os.path.exists(os.path.join(root, "done")):
        for f in files:
            subprocess.run(["dpkg-deb", "-x", f, root], check=True)
        open(os.path.join(root, "done"), "w", encoding="utf-8").close()
    return root


def version(package, cache):
    """What a table should say about an unpacked package."""
    found = glob.glob(os.path.join(cache, "debs", package + "_*.deb"))
    return os.path.basename(found[0]).split("_")[1].replace("%3a", ":") if found else "?"
