"""`python align.py IN.apk OUT.apk`: store and align what Android maps from an APK.

Libraries are stored and begin at multiples of 16,384 bytes, so that a device with pages of 16 KB
runs them from the APK. Every other stored entry begins at a multiple of 64: assets that are
memory-mapped are then aligned for the core. The padding is the extra field 0xd935 that Android's
own tools write, which apksigner keeps. Debian's zipalign knows pages of 4 KB alone, and aapt
compresses libraries. `--check FILE.apk` verifies instead. Times are set to 1980: the same
entries give the same bytes.
"""

from __future__ import annotations

import argparse
import struct
import sys
import zipfile
from pathlib import Path

PAGE, ASSET = 16_384, 64
EXTRA_ID = 0xD935
HEADER_BYTES, EXTRA_BYTES = 30, 6
STORED_SUFFIXES = (".so", ".mrl", ".llc", ".grnn", ".pte", ".arsc", ".png")
"""Libraries, what the core maps, the resource table (Android 11 demands it), and pictures."""
MAPPED_SUFFIXES = (".mrl", ".llc", ".grnn")
SIXTY_FOUR = b"\x7fELF\x02"
THIRTY_TWO = b"\x7fELF\x01"
PT_LOAD = 1


def alignment(name: str) -> int:
    """Return what the offset of a stored entry's data must be a multiple of."""
    return PAGE if name.endswith(".so") else ASSET


def extra(offset: int, name: str) -> bytes:
    """Return the padding of a stored entry whose header begins at `offset`."""
    step = alignment(name)
    start = offset + HEADER_BYTES + len(name.encode()) + EXTRA_BYTES
    padding = -start % step
    return struct.pack("<HHH", EXTRA_ID, 2 + padding, step) + bytes(padding)


def align(source: Path, target: Path) -> None:
    """Write `target` with the entries of `source`, sorted by name, stored and aligned."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in sorted(old.namelist()):
            if name.endswith("/"):
                continue
            data = old.read(name)
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed_before = old.getinfo(name).compress_type == zipfile.ZIP_DEFLATED
            if name.endswith(STORED_SUFFIXES) or not packed_before:
                info.compress_type = zipfile.ZIP_STORED
                assert new.fp is not None
                info.extra = extra(new.fp.tell(), name)
            new.writestr(info, data)


def data_offset(raw: bytes, info: zipfile.ZipInfo) -> int:
    """Return where an entry's data begin in the bytes of the archive."""
    name, more = struct.unpack_from("<HH", raw, info.header_offset + 26)
    return int(info.header_offset + HEADER_BYTES + name + more)


def load_alignments(elf: bytes) -> list[int]:
    """Return p_align of each LOAD segment of a library.

    Raises:
        ValueError: Not a little-endian ELF file.
    """
    if elf[:5] == SIXTY_FOUR:
        start, size, count = (*struct.unpack_from("<Q", elf, 32),
                              *struct.unpack_from("<HH", elf, 54))
        places = "<Q", 48
    elif elf[:5] == THIRTY_TWO:
        start, size, count = (*struct.unpack_from("<I", elf, 28),
                              *struct.unpack_from("<HH", elf, 42))
        places = "<I", 28
    else:
        raise ValueError("not an ELF file")
    headers = [start + size * i for i in range(count)]
    return [int(struct.unpack_from(places[0], elf, header + places[1])[0]) for header in headers
            if struct.unpack_from("<I", elf, header)[0] == PT_LOAD]


def faults(apk: Path) -> list[str]:
    """Return what is wrong with an archive, in words; an empty list if nothing is."""
    raw, found = apk.read_bytes(), []
    with zipfile.ZipFile(apk) as archive:
        for info in archive.infolist():
            name, stored = info.filename, info.compress_type == zipfile.ZIP_STORED
            if name.endswith((".so", *MAPPED_SUFFIXES)) and not stored:
                found.append(f"{name} is compressed: it can not be mapped")
            offset = data_offset(raw, info)
            if stored and not name.startswith("META-INF/") and offset % alignment(name):
                found.append(f"{name} begins at {offset}, no multiple of {alignment(name)}")
            if name.endswith(".so"):
                try:
                    loads = load_alignments(archive.read(name))
                except (ValueError, struct.error) as error:
                    found.append(f"{name}: {error}")
                    continue
                if not loads or min(loads) < PAGE:
                    found.append(f"{name} has LOAD segments aligned to {loads}, not to {PAGE}")
    return found


def main() -> int:
    """Align, or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, nargs="?")
    parser.add_argument("--check", action="store_true", help="verify SOURCE, write nothing")
    options = parser.parse_args()
    if options.check == (options.target is not None):
        parser.error("name a target, or --check")
    if options.target is not None:
        align(options.source, options.target)
    found = faults(options.target or options.source)
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
