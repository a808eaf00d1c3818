"""From samples to features: wav files, the microphone, and the log-mel front end. No torch."""

from edge_sdk.audio.logmel import LogMelConfig as LogMelConfig
from edge_sdk.audio.logmel import log_mel as log_mel
from edge_sdk.audio.microphone import microphone as microphone
from edge_sdk.audio.stream import LogMel as LogMel
from edge_sdk.audio.wav import Recording as Recording
from edge_sdk.audio.wav import read_wav as read_wav
