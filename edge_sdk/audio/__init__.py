"""From samples to features: the log-mel front end and wav files. No torch."""

from edge_sdk.audio.logmel import LogMelConfig as LogMelConfig
