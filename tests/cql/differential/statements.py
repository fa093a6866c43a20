"""Random statements over a few tables. {r} in a text is the number of the run, the first half of every partition key: each run has
partitions of its own, so that a sequence can be played again, and shortened, without making tables anew."""

SCHEMA = (
    "CREATE KEYSPACE IF NOT EXISTS d WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TYPE IF NOT EXISTS d.pair (a int, b text)",
    "CREATE TABLE IF NOT EXISTS d.plain (r int, k int, v int, w text, x double, l list<int>, st set<text>, m map<text, int>, f frozen<list<int>>,"
    " t tuple<int, text>, u frozen<pair>, uu pair, PRIMARY KEY ((r, k)))",
    "CREATE TABLE IF NOT EXISTS d.rows (r int, k int, c int, d text, s int static, v int, w text, PRIMARY KEY ((r, k), c, d))"
    " WITH CLUSTERING ORDER BY (c DESC, d ASC)",
    "CREATE TABLE IF NOT EXISTS d.elements (r int, k int, c int, ss set<int> static, l list<text>, m map<int, text>, st set<int>,"
    " PRIMARY KEY ((r, k), c))",
    "CREATE TABLE IF NOT EXISTS d.counts (r int, k int, c int, n counter, x counter, PRIMARY KEY ((r, k), c))",
)
TEXTS = ("'a'", "'b'", "'bb'", "''", "'it''s'", "'é'")


class Statement:
    """text; page: rows a page, or None."""

    def __init__(self, text, page=None):
        self.text, self.page = text, page

    def __repr__(self):
        return self.text + (" [pages of %d]" % self.page if self.page else "")


class Generator:
    def __init__(self, chance, features):
        self.chance, self.features = chance, features

    # values

    def pick(self, *choices):
        return self.chance.choice(choices)

    def often(self, p):
        return self.chance.random() < p

    def integer(self):
        return str(self.pick(0, 1, 2, 3, 5, -1, 2147483647)) if self.often(0.95) else self.pick("null", "2147483648", "'x'", "1.5", "0x01")

    def text(self):
        return self.chance.choice(TEXTS) if self.often(0.95) else self.pick("null", "1", "true")

    def k(self):
        return "k = %d" % self.chance.randrange(3)

    def key(self):
        return "r = {r} AND " + self.k()

    def c(self):
        return str(self.chance.randrange(5))

    def d(self):
        return self.chance.choice(TEXTS[:3])

    def row(self):
        return "%s AND c = %s AND d = %s" % (self.key(), self.c(), self.d())

    def items(self, make, low=0, high=3):
        return ", ".join(make() for _ in range(self.chance.randint(low, high)))

    def literal(self, column):
        """A value of a column of d.plain or d.elements."""
        small = lambda: str(self.chance.randrange(6))  # noqa: E731
        word = lambda: self.chance.choice(TEXTS)  # noqa: E731
        return {
            "v": self.integer, "w": self.text, "x": lambda: self.pick("1.5", "-0.0", "0", "1e300", "NaN", "null"),
            "l": lambda: "[%s]" % self.items(small), "f": lambda: "[%s]" % self.items(small),
            "st": lambda: "{%s}" % self.items(word), "m": lambda: "{%s}" % ", ".join(w + ": " + small() for w in self.chance.sample(TEXTS, self.chance.randint(0, 3))),
            "t": lambda: self.pick("(1, 'a')", "(2, null)", "(3, 'c')", "(1)", "null"),
            "u": lambda: self.pick("{a: 1, b: 'x'}", "{a: 2}", "{b: 'y'}", "null"), "uu": lambda: self.pick("{a: 1, b: 'x'}", "{a: 2}", "{}", "null"),
        }[column]()

    def using(self, ttl=True):
        parts = []
        if "times" in self.features and self.often(0.35):
            parts.append("TIMESTAMP %d" % self.pick(1, 2, 3, 5, 1000))
        if ttl and "ttl" in self.features and self.often(0.15):
            parts.append("TTL %s" % self.pick(100000, 0))
        return " USING " + " AND ".join(parts) if parts else ""

    def condition(self, columns=("v", "w")):
        if "lwt" not in self.features or not self.often(0.3):
            return ""
        column = self.chance.choice(columns)
        value = self.integer() if column in ("v", "s") else self.text()
        return " IF " + self.pick("EXISTS", "%s = %s" % (column, value), "%s = null" % column, "%s != %s" % (column, value), "%s IN (%s, 1)" % (column, value)
                                  if column != "w" else "w IN ('a', %s)" % value, "%s > %s" % (column, value))

    # statements

    def insert(self, table=None):
        table = table or self.pick("plain", "rows", "rows")
        using, tail = self.using(), ""
        if "lwt" in self.features and self.often(0.25):
            using, tail = "", " IF NOT EXISTS"
        if table == "plain":
            names = self.chance.sample(("v", "w", "x", "l", "st", "m", "f", "t", "u", "uu"), self.chance.randint(0, 4))
            return "INSERT INTO d.plain (%s) VALUES (%s)%s%s" % (
                ", ".join(["r", "k"] + names), ", ".join(["{r}", str(self.chance.randrange(3))] + [self.literal(n) for n in names]), tail, using)
        names, values = ["r", "k"], ["{r}", str(self.chance.randrange(3))]
        if self.often(0.9):
            names += ["c", "d"]
            values += [self.c(), self.d()]
            for column, make in (("v", self.integer), ("w", self.text)):
                if self.often(0.6):
                    names.append(column)
                    values.append(make())
        if self.often(0.3):
            names.append("s")
            values.append(self.integer())
        return "INSERT INTO d.rows (%s) VALUES (%s)%s%s" % (", ".join(names), ", ".join(values), tail, using)

    def update(self, table=None):
        table = table or self.pick("plain", "rows", "rows", "elements", "elements")
        if table == "rows":
            if self.often(0.2):
                return "UPDATE d.rows%s SET s = %s WHERE %s%s" % (self.using(), self.integer(), self.key(), self.condition(("s",)))
            sets = self.chance.sample(["v = " + self.integer(), "w = " + self.text(), "s = " + self.integer()], self.chance.randint(1, 2))
            tail = self.condition()
            where = self.row() if self.often(0.9) else self.key() + self.pick("", " AND c = 1", " AND c IN (1, 2) AND d = 'a'", " AND c > 1")
            return "UPDATE d.rows%s SET %s WHERE %s%s" % ("" if tail else self.using(), ", ".join(sets), where, tail)
        if table == "plain":
            columns = self.chance.sample(("v", "w", "x", "l", "st", "m", "f", "t", "u", "uu"), self.chance.randint(1, 3))
            tail = self.condition()
            return "UPDATE d.plain%s SET %s WHERE %s%s" % (
                "" if tail else self.using(), ", ".join("%s = %s" % (c, self.literal(c)) for c in columns), self.key(), tail)
        small = str(self.chance.randrange(6))
        what = self.pick(
            "l = l + [%s]" % self.items(lambda: self.chance.choice(TEXTS), 1), "l = [%s] + l" % self.items(lambda: self.chance.choice(TEXTS), 1),
            "l = l - [%s]" % self.chance.choice(TEXTS), "l[%d] = %s" % (self.pick(0, 0, 1, 2, -1), self.text()), "l = [%s]" % self.items(lambda: "'z'"),
            "m[%s] = %s" % (small, self.text()), "m = m + {%s: 'p'}" % small, "m = m - {%s, 1}" % small, "m = {%s: 'q'}" % small, "m = null",
            "st = st + {%s, 2}" % small, "st = st - {%s}" % small, "st = {%s}" % small, "st = {}", "ss = ss + {%s}" % small, "ss = ss - {%s}" % small)
        where = self.key() + ("" if what.startswith("ss") and self.often(0.9) else " AND c = %d" % self.chance.randrange(3))
        return "UPDATE d.elements%s SET %s WHERE %s" % (self.using(), what, where)

    def slice(self):
        c, e = sorted((self.chance.randrange(5), self.chance.randrange(6)))
        return self.pick(
            "c = %d" % c, "c > %d" % c, "c >= %d" % c, "c < %d" % e, "c <= %d" % e, "c >= %d AND c < %d" % (c, e), "c > %d AND c <= %d" % (c, e),
            "c = %d AND d > 'a'" % c, "c = %d AND d >= 'a' AND d <= 'b'" % c, "(c, d) > (%d, 'a')" % c, "(c, d) <= (%d, 'b')" % c,
            "(c) >= (%d)" % c, "(c, d) >= (%d, 'a') AND (c) < (%d)" % (c, e), "c IN (%d, %d)" % (c, e), "(c, d) IN ((%d, 'a'), (%d, 'bb'))" % (c, e),
            "c = %d AND d IN ('b', 'a')" % c, "d = 'a'", "c > 1 AND d = 'a'", "c = null", "c IN ()", "v = 1")

    def delete(self, table=None):
        table = table or self.pick("plain", "rows", "rows", "rows", "elements")
        using = self.using(ttl=False)
        if table == "plain":
            what = self.pick("", "", "v ", "w, x ", "l[0] ", "m['a'] ", "st['b'] ", "l ", "uu ", "uu.a ", "nope ")
            return "DELETE %sFROM d.plain%s WHERE %s" % (what, using, self.key())
        if table == "elements":
            what = self.pick("", "l[0] ", "l[1] ", "m[1] ", "st[2] ", "l ", "m ", "st ", "ss ", "ss[1] ")
            return "DELETE %sFROM d.elements%s WHERE %s%s" % (
                what, using, self.key(), "" if what.startswith("ss") or self.often(0.1) else " AND c = %d" % self.chance.randrange(3))
        kind = self.chance.random()
        if kind < 0.1:
            return "DELETE FROM d.rows%s WHERE %s" % (using, self.key())
        if kind < 0.45:
            return "DELETE FROM d.rows%s WHERE %s AND %s" % (using, self.key(), self.slice())
        if kind < 0.6:
            return "DELETE s FROM d.rows%s WHERE %s" % (using, self.key())
        tail = self.condition() if self.often(0.5) else ""
        return "DELETE %sFROM d.rows%s WHERE %s%s" % (self.pick("", "v ", "w ", "v, w "), "" if tail else using, self.row(), tail)

    def count(self):
        what = self.pick("n = n + %d", "n = n - %d", "x = x + %d", "n = n + 1, x = x + %d") % self.chance.randrange(100)
        if self.often(0.05):
            return self.pick("UPDATE d.counts SET n = 5 WHERE %s AND c = 1", "INSERT INTO d.counts (r, k, c, n) VALUES ({r}, 1, 1, 1) ; %s",
                             "UPDATE d.counts USING TIMESTAMP 5 SET n = n + 1 WHERE %s AND c = 1", "DELETE n FROM d.counts WHERE %s AND c = 7",
                             "UPDATE d.counts USING TTL 50 SET n = n + 1 WHERE %s AND c = 1") % self.key()
        return "UPDATE d.counts SET %s WHERE %s AND c = %d" % (what, self.key(), self.chance.randrange(4))

    def batch(self):
        if self.often(0.2):
            return "BEGIN COUNTER BATCH %s; APPLY BATCH" % "; ".join(self.count() for _ in range(self.chance.randint(1, 4)))
        lwt = "lwt" in self.features and self.often(0.3)
        table = self.pick("rows", "plain") if lwt or self.often(0.5) else None
        kinds = (self.insert, self.insert, self.update, self.delete)
        saved = self.features
        if not lwt:
            self.features = self.features - {"lwt"}
        lines = [self.chance.choice(kinds)(table) for _ in range(self.chance.randint(1, 4))]
        self.features = saved
        using = " USING TIMESTAMP %d" % self.pick(1, 4) if "times" in self.features and self.often(0.2) else ""
        return "BEGIN %sBATCH%s %s; APPLY BATCH" % (self.pick("", "", "UNLOGGED "), using, "; ".join(lines))

    def select(self):
        table = self.pick("rows", "rows", "rows", "plain", "elements", "counts")
        what = "*"
        if table == "rows":
            what = self.pick("*", "*", "c, d, v", "c, d, v, w, s", "k, s, c", "count(*)", "max(c), min(v), sum(v)", "c, count(v)", "c, d, writetime(v), ttl(w)" if
                             "times" in self.features else "v", "JSON nope" if self.often(0.02) else "w", "DISTINCT r, k, s", "c AS z, v", "avg(v)", "d, token(r, k)")
        elif table == "plain":
            what = self.pick("*", "*", "v, w, x", "l, st, m", "uu.a, u.b, t", "count(l)", "m['a'], st['b']", "writetime(v)" if "ttl" not in self.features else "v")
        elif table == "elements":
            what = self.pick("*", "*", "c, l", "ss, c, m[1]", "st, m")
        where = "r = {r} AND " + (self.k() if self.often(0.75) else "k IN (%s)" % self.pick("0, 1, 2", "2, 0", "1, 1", ""))
        distinct = what.startswith("DISTINCT")
        if not distinct and self.often(0.5):
            where += " AND " + (self.slice() if table == "rows" else "c %s %d" % (self.pick("=", ">", "<=", "<"), self.chance.randrange(4))
                                if table != "plain" or self.often(0.02) else "v = 1")
        tail = ""
        if self.often(0.1) and table == "rows":
            tail += " GROUP BY " + self.pick("c", "r, k", "r, k, c", "c, d", "d", "v")
        if self.often(0.25):
            tail += " ORDER BY " + (self.pick("c ASC", "c DESC", "c ASC, d DESC", "c DESC, d DESC", "d", "v") if table == "rows" else self.pick("c ASC", "c DESC"))
        if self.often(0.1):
            tail += " PER PARTITION LIMIT %d" % self.pick(1, 2)
        if self.often(0.25):
            tail += " LIMIT %d" % self.pick(1, 2, 3, 10)
        if self.often(0.15):
            tail += " ALLOW FILTERING"
        page = self.pick(1, 2, 3, 5) if self.often(0.3) else None
        return Statement("SELECT %s FROM d.%s WHERE %s%s" % (what, table, where, tail), page)

    def look(self):
        """Everything that the run has."""
        table = self.pick("rows", "plain", "elements", "counts")
        return Statement("SELECT * FROM d.%s WHERE r = {r} AND k IN (0, 1, 2)" % table)

    def next(self):
        kinds = [(self.insert, 5), (self.update, 6), (self.delete, 4), (self.select, 7), (self.look, 3), (self.batch, 2)]
        if "counters" in self.features:
            kinds.append((self.count, 2))
        made = self.chance.choices([k for k, _ in kinds], [n for _, n in kinds])[0]()
        return made if isinstance(made, Statement) else Statement(made)


def sequence(chance, features, length=60):
    generator = Generator(chance, features)
    made = [generator.next() for _ in range(length)]
    return made + [Statement("SELECT * FROM d.%s WHERE r = {r} AND k IN (0, 1, 2)" % t) for t in ("rows", "plain", "elements", "counts")]
