"""The manners of speaking that we know: what each does to a voice, and the words that ask for it.

One table serves both readers: `directions` finds the words in prose ("Speak slowly, in a deep voice"), `tone` finds them
in the tags that models write (`<whisper>`, `[laughs]`). `docs/how-to/voices.md` shows the table; a test compares them.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Manner(Struct, frozen=True, kw_only=True):
    """One row. The numbers multiply those of a `Tone`."""

    name: str
    """The tag to recommend: `<name>…</name>`."""
    prose: str = ""
    """The same for synthesizers that follow prose."""
    whisper: bool = False
    pace: float = 1.0
    pitch: float = 1.0
    pitch_range: float = 1.0
    volume: float = 1.0
    resets: bool = False
    """Back to the voice's own manner, whatever was asked for before."""
    sounds: bool = False
    """A sound of its own (a laugh), not a way to say words."""
    silent: bool = False
    """A stage direction that no voice here can act: the words are left out, nothing is heard."""
    tags: tuple[str, ...] = ()
    """More words that may stand in `<…>` and `[…]`."""
    acts: tuple[str, ...] = ()
    """Words that may stand in `(…)` and `*…*` too: verbs, which nobody writes there for another reason."""

    stems: tuple[str, ...] = ()
    """Every request in prose holds one of these: a quick look before the regular expressions."""
    # Regular expressions for prose, without groups. See `directions` for what must stand around each kind.
    adverbs: str = ""
    """After "speak", "talk", "say": slowly."""
    adjectives: str = ""
    """Before "voice", "tone", "pace": deep."""
    moods: str = ""
    """After "be", "you are", "sound": excited."""
    phrases: str = ""
    """Clear wherever they stand: fast-talking."""


_SAY_WHISPER = r"^\W*(?:please |always |now |only |just |then |so )*whisper\b(?! model)"

MANNERS: Final = (
    Manner(
        name="whisper",
        stems=("whisper",),
        prose="Whisper.",
        whisper=True,
        pace=0.95,
        tags=("whispered",),
        acts=("whispers", "whispering", "in a whisper"),
        adverbs=r"whisperingly",
        adjectives=r"whisper(?:ed|ing|y)?",
        phrases=_SAY_WHISPER
        + r"|\b(?:should|must|will|always|only|and|or|to|you|n't|not|never|just) whisper\b(?! model)"
        + r"|\bwhispering\b|\bin (?:an? )?(?:[\w-]+ )?whispers?\b",
    ),
    Manner(
        name="excited",
        stems=("excit", "enthus", "energ", "animated", "thrilled", "hype"),
        prose="Sound excited.",
        pace=1.12,
        pitch=1.15,
        pitch_range=1.7,
        volume=1.15,
        tags=("enthusiastic", "excitement", "energetic"),
        acts=("excitedly", "enthusiastically"),
        adverbs=r"excitedly|enthusiastically|energetically|with (?:[\w-]+ )?(?:excitement|enthusiasm|energy)",
        adjectives=r"excited|enthusiastic|energetic|animated|high[- ]energy|hyped?",
        moods=r"excited|enthusiastic|energetic|animated|thrilled|hyped|hyper|high[- ]energy",
    ),
    Manner(
        name="happy",
        stems=("happ", "cheer", "joy", "upbeat", "bubbly", "jolly", "perky", "merrily", "smile", "laughter"),
        prose="Sound cheerful.",
        pace=1.05,
        pitch=1.08,
        pitch_range=1.35,
        tags=("cheerful", "joyful"),
        acts=("happily", "cheerfully", "smiling", "smiles"),
        adverbs=r"happily|cheerfully|joyfully|merrily|with (?:an? )?(?:smile|joy|laughter)",
        adjectives=r"happy|cheerful|joyful|upbeat|bubbly|jolly|perky|cheery",
        moods=r"happy|cheerful|joyful|upbeat|bubbly|jolly|perky|cheery",
    ),
    Manner(
        name="calm",
        stems=("calm", "sooth", "seren", "relax", "gentl", "peace", "tranquil", "meditative", "compos"),
        prose="Sound calm.",
        pace=0.9,
        pitch=0.97,
        pitch_range=0.6,
        volume=0.9,
        tags=("relaxed", "soothing", "gentle"),
        acts=("calmly", "soothingly", "gently"),
        adverbs=r"calmly|soothingly|serenely|gently|relaxedly|peacefully|with calm",
        adjectives=r"calm|calming|soothing|relaxed|relaxing|gentle|serene|tranquil|meditative|composed",
        moods=r"calm|soothing|relaxed|serene|composed",
    ),
    Manner(
        name="slow",
        stems=("slow", "unhurried", "leisurely", "your time", "pace: low", "pacing: low", "speed: low"),
        prose="Speak slowly.",
        pace=0.75,
        tags=("slower",),
        acts=("slowly", "speaking slowly"),
        adverbs=r"(?:more )?slow(?:ly|er)?",
        adjectives=r"slow(?:er)?|unhurried|leisurely",
        phrases=r"\bslow(?:er)?[- ](?:talking|spoken|paced)\b|\bslow down\b|\btake your time\b"
        r"|\b(?:pace|speed|pacing): (?:low|slow)\b",
    ),
    Manner(
        name="fast",
        stems=("fast", "quick", "rapid", "hurried", "speed", "brisk", "pace: high", "pacing: high"),
        prose="Speak fast.",
        pace=1.3,
        tags=("faster", "quick"),
        acts=("quickly", "rapidly", "speaking quickly", "speaking fast"),
        adverbs=r"(?:more )?(?:fast(?:er)?|quick(?:ly|er)?|rapidly|hurriedly|speedily|briskly)",
        adjectives=r"fast(?:er)?|quick(?:er)?|rapid|brisk|hurried|speedy|rapid[- ]fire",
        phrases=r"\b(?:fast(?:er)?|quick)[- ](?:talking|spoken|paced)\b|\bspeed up\b"
        r"|\b(?:pace|speed|pacing): (?:high|fast|quick|rapid)\b",
    ),
    Manner(
        name="deep",
        stems=("deep", "depth", "low", "baritone", "bass"),
        prose="Use a deep voice.",
        pitch=0.72,
        tags=("deep voice", "in a deep voice"),
        acts=("in a deep voice",),
        adverbs=r"deeply|with depth",
        adjectives=r"deep(?:er)?|baritone|bass",
        phrases=r"\blow(?:er)?(?:[- ]pitched|[- ]pitch)\b|\blower (?:your|the) pitch\b|\bpitch: (?:low|deep)\b|\bbaritone\b",
    ),
    Manner(
        name="high",
        stems=("high", "raise", "squeaky", "childlike", "falsetto"),
        prose="Use a high voice.",
        pitch=1.35,
        tags=("high voice", "high-pitched"),
        acts=("in a high voice", "in a high-pitched voice"),
        adjectives=r"(?<!volume: )(?<!speed: )(?<!pace: )high(?:er)?|squeaky|childlike",
        phrases=r"\bhigh(?:er)?(?:[- ]pitched|[- ]pitch)\b|\braise (?:your|the) pitch\b|\bpitch: high\b|\bfalsetto\b",
    ),
    Manner(
        name="sad",
        stems=("sad", "sorrow", "mourn", "gloom", "tear", "melanchol", "somb", "depress", "grief", "heartbroken"),
        prose="Sound sad.",
        pace=0.85,
        pitch=0.9,
        pitch_range=0.55,
        volume=0.8,
        tags=("sorrowful", "crying"),
        acts=("sadly", "sorrowfully"),
        adverbs=r"sadly|sorrowfully|mournfully|gloomily|tearfully|with (?:[\w-]+ )?(?:sadness|sorrow|grief)",
        adjectives=r"sad|sorrowful|mournful|gloomy|melancholic|melancholy|somber|sombre|depressed",
        moods=r"sad|sorrowful|mournful|gloomy|melancholic|melancholy|depressed|heartbroken",
    ),
    Manner(
        name="angry",
        stems=("angr", "anger", "furi", "fury", "rage", "irate"),
        prose="Sound angry.",
        pace=1.1,
        pitch=0.95,
        pitch_range=1.45,
        volume=1.4,
        tags=("furious", "anger"),
        acts=("angrily", "furiously"),
        adverbs=r"angrily|furiously|with (?:[\w-]+ )?(?:anger|fury|rage)",
        adjectives=r"angry|furious|irate|enraged|outraged",
        moods=r"angry|furious|irate|enraged|outraged",
    ),
    Manner(
        name="loud",
        stems=("loud", "boom", "shout", "yell", "volume"),
        prose="Speak loudly.",
        pitch=1.06,
        volume=1.5,
        tags=("louder", "shout", "shouted"),
        acts=("loudly", "shouts", "shouting", "yells", "yelling"),
        adverbs=r"loud(?:ly|er)?|with (?:a )?loud voice",
        adjectives=r"loud(?:er)?|booming|shouting",
        moods=r"loud(?:er)?",
        phrases=r"^\W*(?:please |always )*(?:shout|yell)\b|\bshouting\b|\bhigh volume\b|\bvolume: (?:high|loud)\b"
        r"|\b(?:should|must|always|n't|not|never) (?:shout|yell)\b",
    ),
    Manner(
        name="soft",
        stems=("soft", "quiet", "hushed", "low", "your voice"),
        prose="Speak softly.",
        pace=0.95,
        pitch_range=0.85,
        volume=0.55,
        tags=("softer", "quiet"),
        acts=("softly", "quietly"),
        adverbs=r"(?:more )?(?:soft(?:ly|er)?|quiet(?:ly|er)?)",
        adjectives=r"soft(?:er)?|quiet(?:er)?|hushed",
        moods=r"quiet(?:er)?|soft[- ]spoken",
        phrases=r"\bsoft[- ]spoken\b|\blow volume\b|\bvolume: (?:low|soft|quiet)\b|\bin a low(?:er)? voice\b"
        r"|\b(?:lower|keep down) your voice\b|\bkeep your voice (?:low|down)\b",
    ),
    Manner(
        name="flat",
        stems=("flat", "monoton", "robot", "deadpan", "emotion", "expression", "feeling"),
        prose="Speak in a monotone.",
        pitch_range=0.15,
        tags=("monotone", "deadpan", "robotic"),
        acts=("deadpans", "in a monotone"),
        adverbs=r"monotonously|flatly|robotically|without (?:any )?(?:emotion|feeling|expression)|like a robot",
        adjectives=r"flat|monotone|monotonous|deadpan|robotic|emotionless|expressionless",
        moods=r"deadpan|robotic|emotionless",
        phrases=r"\bin (?:a )?(?:[\w-]+ )?monotone\b",
    ),
    Manner(
        name="laugh",
        prose="Laugh.",
        sounds=True,
        tags=("laughter",),
        acts=("laughs", "laughing", "chuckle", "chuckles", "chuckling", "giggle", "giggles", "giggling"),
    ),
    Manner(name="normal", resets=True, tags=("neutral", "normal voice", "back to normal", "in a normal voice")),
    Manner(
        name="pause",
        silent=True,
        tags=("sigh", "gasp", "cough", "breath"),
        acts=(
            *("sighs", "sighing", "gasps", "gasping", "coughs", "pauses", "pausing"),
            *("clears throat", "takes a breath", "takes a deep breath"),
        ),
    ),
)
"""The table."""


def tag_literals() -> dict[str, tuple[Manner, bool, bool]]:
    """Every tag as it may be written, in lower case: its manner, whether it closes, whether `</…>` is to close it."""
    literals: dict[str, tuple[Manner, bool, bool]] = {}
    for manner in MANNERS:
        for word in (manner.name, *manner.tags, *manner.acts):
            literals[f"<{word}>"] = (manner, False, True)
            literals[f"</{word}>"] = (manner, True, True)
            for alone in (f"<{word}/>", f"<{word} />"):
                literals[alone] = (manner, False, False)
            literals[f"[{word}]"] = (manner, False, False)
            literals[f"[/{word}]"] = (manner, True, False)
        for act in manner.acts:
            literals[f"({act})"] = literals[f"*{act}*"] = (manner, False, False)
    for bare in _NEVER_IN_SQUARE_BRACKETS:
        literals.pop(f"[{bare}]", None)
        literals.pop(f"[/{bare}]", None)
    return literals


_NEVER_IN_SQUARE_BRACKETS: Final = ("slow", "fast", "high", "deep", "quick", "normal", "neutral", "flat", "loud", "quiet")
"""Plain words that code, prose and Markdown put there: `[high]` is a priority more often than a tone."""
