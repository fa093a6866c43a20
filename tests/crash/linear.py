"""Is a history of one register linearizable? The search of Wing and Gong with Lowe's memory of what was tried (G. Lowe, "Testing for
linearizability", 2017): an order of the operations in which each answer is right, and none is before one that had ended when it began.

An operation that was never answered may have happened at any time after its beginning, or not at all."""

INFINITY = float("inf")


class Operation:
    """What a client asked of a register, and what it was told.
        read                    seen: the value, None when there is none
        create NEW              if nothing is there; applied, else seen: what was there
        swap OLD NEW            if OLD is there; the same
        delete OLD              if OLD is there; the same
    end: INFINITY when no answer came; then applied and seen say nothing. A value is written by one operation alone."""

    __slots__ = ("kind", "old", "new", "begin", "end", "applied", "seen", "client")

    def __init__(self, kind, old, new, begin, end=INFINITY, applied=None, seen=None, client=""):
        self.kind, self.old, self.new, self.begin, self.end = kind, old, new, begin, end
        self.applied, self.seen, self.client = applied, seen, client

    def __repr__(self):
        asked = " ".join(str(x) for x in (self.kind, self.old, self.new) if x is not None)
        told = "no answer" if self.end == INFINITY else "applied" if self.applied else "%r" % (self.seen,)
        return "%s %s: %s (%.4f-%.4f)" % (self.client, asked, told, self.begin, self.end)

    def step(self, state):
        """(possible, state after) when this happens now."""
        if self.kind == "read":
            return self.seen == state, state
        right = state is None if self.kind == "create" else state == self.old
        if self.end == INFINITY:
            return right, self.new  # where it would not be applied, it need not happen
        if self.applied:
            return right, self.new
        return not right and self.seen == state, state


def without_useless(operations):
    """Reads without an answer say nothing. Nor does a write without one whose value nobody was given or named: every change names the value
    that it replaces, so such a write is the last one, or did not happen."""
    named = {o.old for o in operations} | {o.seen for o in operations if o.end != INFINITY}
    return [o for o in operations if o.end != INFINITY or (o.kind != "read" and (o.new is None or o.new in named))]


class _Event:
    __slots__ = ("operation", "index", "begins", "back", "before", "after")

    def __init__(self, operation, index, begins, back=None):
        self.operation, self.index, self.begins, self.back = operation, index, begins, back
        self.before = self.after = None


def _events(operations):
    """A list of beginnings, each with its end as `back`, and ends, in the order of time; at the same time beginnings first."""
    marks = []
    for index, o in enumerate(operations):
        end = _Event(o, index, False) if o.end != INFINITY else None
        marks.append((o.begin, 0, index, _Event(o, index, True, end)))
        if end:
            marks.append((o.end, 1, index, end))
    head = last = _Event(None, -1, False)
    for _, _, _, event in sorted(marks, key=lambda m: m[:3]):
        last.after, event.before = event, last
        last = event
    return head


def _lift(event):
    for e in (event, event.back):
        if e:
            e.before.after = e.after
            if e.after:
                e.after.before = e.before


def _unlift(event):
    for e in (event.back, event):
        if e:
            e.before.after = e
            if e.after:
                e.after.before = e


def check(operations, initial=None):
    """None if they are linearizable; else the operations that were under way where every order failed."""
    operations = without_useless(operations)
    head, state, done, tried, stack = _events(operations), initial, 0, set(), []
    left = sum(o.end != INFINITY for o in operations)
    event, furthest, stuck = head.after, -1, []
    while left:
        if event is not None and event.begins:
            possible, after = event.operation.step(state)
            mark = done | 1 << event.index
            if possible and (mark, after) not in tried:
                tried.add((mark, after))
                stack.append((event, state, done))
                state, done = after, mark
                left -= event.operation.end != INFINITY
                _lift(event)
                event = head.after
            else:
                event = event.after
            continue
        # An end of what could not happen before it (or the list's end): go back.
        if len(stack) > furthest:
            furthest = len(stack)
            stuck = _under_way(head, event)
        if not stack:
            return stuck
        event, state, done = stack.pop()
        left += event.operation.end != INFINITY
        _unlift(event)
        event = event.after
    return None


def _under_way(head, until):
    found, event = [], head.after
    while event is not None and event is not until:
        if event.begins:
            found.append(event.operation)
        event = event.after
    return found
