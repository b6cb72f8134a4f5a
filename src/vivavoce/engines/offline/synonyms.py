"""Words that ask for the same thing: who says "will it rain" means the weather tool."""

from __future__ import annotations

from typing import Final

_GROUPS: Final = (
    "weather forecast rain raining rainy sunny snow snowing umbrella",
    "move go walk drive step travel head",
    "turn rotate spin",
    "light lamp lights",
    "music song songs tune playlist",
    "alarm wake",
    "timer countdown",
    "reminder remind",
    "email mail",
    "message text sms",
    "call phone dial ring",
    "buy purchase order",
    "book reserve reservation booking",
    "search find lookup google",
    "web internet online",
    "calculate compute calculator math",
    "translate translation",
    "volume loud louder quieter",
    "temperature thermostat heating degrees",
    "picture photo image",
    "appointment meeting event calendar schedule",
    "human agent representative operator person",
    "price cost quote",
    "news headlines",
    "joke funny",
    "note write",
    "memory remember save store",
    "delete remove",
    "add append put insert",
    "stop halt pause",
    "cancel abort",
    "open unlock",
    "close shut",
    "draw pick pull",
    "roll throw",
    "status state",
    "hangup goodbye bye",
    "forward ahead forwards straight",
    "backward back backwards reverse",
    "celsius centigrade",
    "restaurant table",
    "flight fly plane",
    "hotel room",
    "taxi cab ride",
    "stock share shares",
)

GROUP_OF: Final = {word: group for group in map(str.split, _GROUPS) for word in group}
"""A word's group, itself included."""


def synonyms(word: str) -> list[str]:
    """The other words for it."""
    return [other for other in GROUP_OF.get(word, ()) if other != word]
