"""Unpack packages of another Debian release or processor into a folder; nothing is installed.

    python3 runtime/tools/debian.py --suite bullseye --arch amd64 --into DIR PACKAGE...

apt is given a state of its own, this machine's mirror and Debian's keys. What was unpacked
whole is not fetched again; what was cut off is. EDGE_DEBIAN_MIRROR names another mirror.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
STAMP = "complete"
LIMIT_S = 540


class FetchError(Exception):
    """apt is not there, or did not give what was asked for."""


def unpack(packages: Sequence[str], *, suite: str, architecture: str, into: Path) -> Path:
    """Unpack packages, not what they depend on; return the folder.

    Args:
        packages: Their names.
        suite: Such as "bookworm".
        architecture: As Debian calls it: "amd64", "arm64".
        into: Made, or emptied if it holds anything else.

    Raises:
        FetchError: No key, no network, or no such package.
    """
    asked = f"{suite} {architecture} {' '.join(packages)}\n"
    stamp = into / STAMP
    if stamp.is_file() and stamp.read_text() == asked:
        return into
    if not KEYRING.is_file():
        raise FetchError(f"expected {KEYRING}\nhint: apt-get install debian-archive-keyring")
    shutil.rmtree(into, ignore_errors=True)
    apt = into / "apt"
    environment = _private(apt, f"deb [arch={architecture} signed-by={KEYRING}] {mirror()} "
                                f"{suite} main\n", architecture)
    _apt(["update", "-q"], apt, environment)
    _apt(["download", "-q", *packages], apt / "packages", environment)
    for package in sorted((apt / "packages").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, into], check=True)
    shutil.rmtree(apt)
    stamp.write_text(asked)
    return into


def _private(apt: Path, source: str, architecture: str) -> Mapping[str, str]:
    for folder in ("state/lists/partial", "cache/archives/partial", "etc", "packages"):
        (apt / folder).mkdir(parents=True)
    (apt / "etc/sources.list").write_text(source)
    (apt / "status").write_text("")
    settings = apt / "apt.conf"
    settings.write_text(
        f'Dir::State "{apt}/state";\nDir::State::status "{apt}/status";\n'
        f'Dir::Cache "{apt}/cache";\nDir::Etc::sourcelist "{apt}/etc/sources.list";\n'
        'Dir::Etc::sourceparts "-";\nDir::Etc::preferencesparts "-";\n'
        f'APT::Architecture "{architecture}";\nAPT::Architectures {{"{architecture}";}};\n'
        # The folder may be one that apt's own user can not enter.
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        'Acquire::Check-Valid-Until "false";\n')  # releases that are no longer signed anew
    return {**os.environ, "APT_CONFIG": str(settings)}


def _apt(words: Sequence[str], where: Path, environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(["apt-get", *words], cwd=where, env=environment, text=True,
                              capture_output=True, check=False, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"apt-get {' '.join(words)}: {error}") from error
    if done.returncode:
        raise FetchError(f"apt-get {' '.join(words)}\n{done.stdout}{done.stderr}".strip())


def mirror() -> str:
    """Return where packages come from: as told, as this machine's apt has it, or Debian's own."""
    told = os.environ.get("EDGE_DEBIAN_MIRROR")
    if told:
        return told
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in lists:
        if path.is_file():
            found = re.search(r"^(?:URIs:|deb) (?:\[.*\] )?(\S+/debian)/?(?:\s|$)",
                              path.read_text(), re.MULTILINE)
            if found:
                return found[1]
    return MIRROR


def main(arguments: Sequence[str]) -> int:
    """Unpack what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", required=True)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--into", required=True, type=Path)
    parser.add_argument("packages", nargs="+")
    asked = parser.parse_args(arguments)
    try:
        unpack(asked.packages, suite=asked.suite, architecture=asked.arch,
               into=asked.into.resolve())
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
