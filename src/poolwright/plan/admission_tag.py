"""ARM's limits of tags: one rule and one code each, for every resource that has tags.

Source: facts aks-api §5.7 (tag limits); texts known, not re-verified.
"""

from __future__ import annotations

from collections.abc import Mapping

from poolwright.model.limits import TAG_NAME_MAX, TAG_VALUE_MAX, TAGS_MAX
from poolwright.plan.admission_message import bad_request

_FORBIDDEN = frozenset("<>%&\\?/")


def check_tag_limits(tags: Mapping[str, str]) -> None:
    """Check the number of tags, the names and the values.

    Raises:
        InvalidRequest: target ``tags``, with ARM's code.
    """
    if len(tags) > TAGS_MAX:
        raise bad_request(
            f"Too many tags on the resource/resource group. Requested tag count - '{len(tags)}'. "
            f"Supported number of tags - '{TAGS_MAX}'.",
            code="TooManyTags",
            target="tags",
        )
    for name, value in tags.items():
        if not 1 <= len(name) <= TAG_NAME_MAX:
            raise bad_request(
                f"Tag name must have between 1 and {TAG_NAME_MAX} characters: '{name}'.",
                code="InvalidTagNameLength",
                target="tags",
            )
        if any(c in _FORBIDDEN or not c.isprintable() for c in name):
            raise bad_request(
                f"The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control "
                "characters.",
                code="InvalidTagNameCharacters",
                target="tags",
            )
        if len(value) > TAG_VALUE_MAX:
            raise bad_request(
                f"Tag value too large. Following tag value '{value}' exceeded the maximum length. "
                f"Maximum allowed length for tag value - '{TAG_VALUE_MAX}' characters.",
                code="InvalidTagValueLength",
                target="tags",
            )
