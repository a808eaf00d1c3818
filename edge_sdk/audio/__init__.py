"""From samples to features: the log-mel front end and wav files. No torch."""

from edge_sdk.audio.logmel import LogMelConfig as LogMelConfig
from edge_sdk.audio.logmel import log_mel as log_mel
from edge_sdk.audio.stream import LogMel as LogMel
