"""How much of the model to run: the governor, in the core, with its words and its log.

`Governor.decide` takes a `Budget` and what the device says of itself, and answers
with the most accurate `Choice` of the profile that fits; `observe` tells it what
came of it. The rules are in runtime/src/governor.c, so that C, Java and Python
decide alike; `python -m edge_sdk.governor replay LOG` proves it of a log.
"""

from edge_sdk.governor.budget import Budget
from edge_sdk.governor.choices import Choice, Decision
from edge_sdk.governor.governor import DeviceState, Governor
from edge_sdk.governor.log import Record, replay

__all__ = ["Budget", "Choice", "Decision", "DeviceState", "Governor", "Record", "replay"]
