"""Where an answer may differ, and why. Everything else is a difference."""


def plain(answer):
    """Without what depends on the moment or the implementation: the text of a syntax error."""
    if answer[0] == "error" and answer[1] == "0x2000":
        return answer[:2]
    return answer


def allowed(text, cassandra, smack):  # pylint: disable=unused-argument
    return None
