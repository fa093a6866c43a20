"""Where an answer may differ, and why. Everything else is a difference."""


def plain(answer):
    """Without what depends on the moment or the implementation: write times that the server chose, the text of a syntax error."""
    if answer[0] == "error" and answer[1] == "0x2000":
        return answer[:2]
    if answer[0] == "rows" and any("writetime" in name for name, _ in answer[1]):
        times = {i for i, (name, _) in enumerate(answer[1]) if "writetime" in name}
        pages = [[["now" if i in times and v and int(v, 16) > 10**14 else v for i, v in enumerate(row)] for row in rows] for rows in answer[2]]
        return answer[:2] + (pages,) + answer[3:]
    return answer


def allowed(text, cassandra, smack):
    """The reason, or None."""
    if "IN ()" in text and smack[0] == "error":
        return "IN () is empty before anything else is looked at"
    return None
