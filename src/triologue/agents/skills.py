"""Skills that a conversation is offered, where an agent has them: as rules for its `Skill` tool."""

import re

from triologue.errors import InvalidOption, brief
from triologue.options import Options

_SEPARATORS = re.compile(r"[(),\x00-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")


def check_skills(options: Options) -> None:
    """Refuse what is no list of names: a rule made of such a name would mean another skill, or many, or none."""
    skills: object = options.skills
    if skills is None or skills == "all":
        return
    if isinstance(skills, str):
        raise InvalidOption(f"skills={brief(skills)} is neither a list of names nor 'all'; did you mean [{skills!r}]?")
    for name in options.skills or ():
        if (fault := _fault(name)) is not None:
            raise InvalidOption(f"skills: {brief(name)} {fault}")


def _fault(name: object) -> str | None:
    if not isinstance(name, str) or not name:
        return "is no name"
    if name != name.strip():
        return "has white space around it"
    if _SEPARATORS.search(name):
        return "has a bracket, a comma or a control character in it; give the name of the skill's folder"
    if name == "*" or name.endswith((":*", " *")):
        return "is a pattern; name each skill, or give skills='all'"
    if name.startswith("/"):
        return "begins with '/'; give the skill's name and not its command"
    if "\\\\" in name or name.endswith("\\"):
        return "has backslashes that a rule reads otherwise"
    return None


def with_skills(options: Options) -> list[str]:
    """`Options.allowed_tools`, and the rules that let the skills be used."""
    allowed = list(options.allowed_tools)
    if options.skills is None:
        return allowed
    rules = ["Skill"] if options.skills == "all" else [f"Skill({name})" for name in options.skills]
    return allowed + [rule for rule in dict.fromkeys(rules) if rule not in allowed]


def listed_skills(options: Options) -> list[str] | None:
    """The skills by name, for `initialize`; None where all are meant, or nothing is said."""
    return None if options.skills is None or options.skills == "all" else list(options.skills)
