"""Learnt binary codes (LLC, Kusupati et al. 2021, arXiv:2106.01487) on a device.

`CodeIndex` decodes k-bit words to classes: exactly (ED), to the least Hamming
distance (MHD), or by the reliability of each bit (ORD). `InstanceIndex` finds the
nearest of many stored items. Both are one `.llc` file, memory-mapped.
"""

from edge_sdk.codes.classes import CodeIndex, Nearest, Ordered, calibrate
from edge_sdk.codes.hits import Hits
from edge_sdk.codes.instances import InstanceIndex
from edge_sdk.codes.words import as_words

__all__ = ["CodeIndex", "Hits", "InstanceIndex", "Nearest", "Ordered", "as_words", "calibrate"]
