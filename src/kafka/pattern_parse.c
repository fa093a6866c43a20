#include "kafka/pattern_internal.h"

/* ---- sets of ASCII characters ---- */

static const struct set all_characters = {{UINT64_MAX, UINT64_MAX}};

static void set_add(struct set *s, int c)
{
	if (c >= 0 && c < 128)
		s->bits[c / 64] |= (uint64_t)1 << (c % 64);
}
static void set_range(struct set *s, int from, int to)
{
	for (int c = from; c <= to && c < 128; c++)
		set_add(s, c);
}
static void set_union(struct set *s, const struct set *more)
{
	s->bits[0] |= more->bits[0];
	s->bits[1] |= more->bits[1];
}
static void set_invert(struct set *s)
{
	s->bits[0] = ~s->bits[0];
	s->bits[1] = ~s->bits[1];
}
static void set_fold(struct set *s)
{
	for (int c = 'a'; c <= 'z'; c++) {
		if (set_has(s, c) || set_has(s, c - 'a' + 'A')) {
			set_add(s, c);
			set_add(s, c - 'a' + 'A');
		}
	}
}

/* ---- the tree ---- */

int pattern__fail(struct parser *p, enum sm_err err, const char *why)
{
	if (!p->err) {
		p->err = err;
		p->why = why;
	}
	return -1;
}

static int node(struct parser *p, struct node n)
{
	if (p->err)
		return -1;
	if (p->count == KAFKA_PATTERN_PROGRAM_MAX)
		return pattern__fail(p, SM_TOO_LARGE, "expression too large");
	p->nodes[p->count] = n;
	return p->count++;
}

static bool take(struct parser *p, const char *text)
{
	size_t size = strlen(text);
	if ((size_t)(p->end - p->at) < size || memcmp(p->at, text, size) != 0)
		return false;
	p->at += size;
	return true;
}

/* A character of the pattern; one beyond ASCII comes out as 128. */
static int next_character(struct parser *p)
{
	int c = *p->at++;
	if (c < 128)
		return c;
	while (p->at < p->end && (*p->at & 0xc0) == 0x80)
		p->at++;
	return 128;
}

static int hex(struct parser *p)
{
	bool braces = take(p, "{");
	int value = 0, digits = 0;
	while (p->at < p->end && isxdigit(*p->at) && (braces ? digits < 8 : digits < 2)) {
		int c = *p->at++;
		if (value < 128) /* all above are alike */
			value = value * 16 + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
		digits++;
	}
	if (!digits || (braces ? !take(p, "}") : digits != 2))
		return pattern__fail(p, SM_INVALID, "invalid escape sequence");
	return value < 128 ? value : 128;
}

static int octal(struct parser *p, int c)
{
	int value = c - '0';
	for (int i = 0; i < 2 && p->at < p->end && *p->at >= '0' && *p->at <= '7'; i++)
		value = value * 8 + *p->at++ - '0';
	return value < 128 ? value : 128;
}

/* What stands behind a backslash and is one character. */
static int escaped_character(struct parser *p)
{
	int c = next_character(p);
	switch (c) {
	case 'a': return 7;
	case 'f': return '\f';
	case 't': return '\t';
	case 'n': return '\n';
	case 'r': return '\r';
	case 'v': return '\v';
	case 'x': return hex(p);
	default: break;
	}
	/* \1 alone would be a reference back, which these patterns do not have. */
	if (c == '0' || (c >= '1' && c <= '7' && p->at < p->end && *p->at >= '0' && *p->at <= '7'))
		return octal(p, c);
	if (c == 'p' || c == 'P')
		return pattern__fail(p, SM_INVALID, "Unicode classes are not supported here");
	return c < 128 && ispunct(c) ? c : pattern__fail(p, SM_INVALID, "invalid escape sequence");
}

/* \d, \W ...: p->at is at the letter. */
static bool take_perl_class(struct parser *p, struct set *ret)
{
	struct set s = {0};
	int c = p->at < p->end ? *p->at : 0;
	for (int i = 0; i < 128; i++) {
		bool in = false;
		switch (c) {
		case 'd':
		case 'D': in = isdigit(i); break;
		case 'w':
		case 'W': in = is_word(i); break;
		case 's':
		case 'S': in = i && strchr("\t\n\f\r ", i); break;
		default: return false;
		}
		if (in != (isupper(c) != 0))
			set_add(&s, i);
	}
	p->at++;
	*ret = s;
	return true;
}

static bool in_posix_class(const char *name, int c)
{
	static const struct {
		const char *name;
		int (*is)(int);
	} classes[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
		       {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
		       {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit}};
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		if (strcmp(name, classes[i].name) == 0)
			return classes[i].is(c) != 0;
	}
	return strcmp(name, "ascii") == 0 || (strcmp(name, "word") == 0 && is_word(c));
}

/* [:alpha:] or [:^alpha:] inside of brackets. */
static bool take_posix_class(struct parser *p, struct set *ret)
{
	char name[8] = "";
	const uint8_t *start = p->at;
	if (!take(p, "[:"))
		return false;
	bool invert = take(p, "^");
	size_t n = 0;
	while (p->at < p->end && islower(*p->at) && n < sizeof name - 1)
		name[n++] = (char)*p->at++;
	if (!take(p, ":]")) {
		p->at = start;
		return false;
	}
	static const char names[] = " alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit ";
	const char *known = n ? strstr(names, name) : NULL;
	if (!known || known[-1] != ' ' || known[n] != ' ')
		pattern__fail(p, SM_INVALID, "invalid character class range");
	*ret = (struct set){0};
	for (int c = 0; c < 128; c++) {
		if (in_posix_class(name, c) != invert)
			set_add(ret, c);
	}
	return true;
}

static int class_character(struct parser *p)
{
	if (p->at == p->end)
		return pattern__fail(p, SM_INVALID, "missing closing ]");
	return take(p, "\\")
		       ? p->at == p->end ? pattern__fail(p, SM_INVALID, "trailing backslash at end of expression") : escaped_character(p)
		       : next_character(p);
}

static bool take_named_class(struct parser *p, struct set *ret)
{
	if (take_posix_class(p, ret))
		return true;
	if (!take(p, "\\"))
		return false;
	if (take_perl_class(p, ret))
		return true;
	p->at--;
	return false;
}

static int parse_class(struct parser *p)
{
	struct node n = {.op = OP_SET};
	bool invert = take(p, "^");
	for (bool first = true; !p->err && (first || p->at == p->end || *p->at != ']'); first = false) {
		struct set named;
		if (take_named_class(p, &named)) {
			set_union(&n.set, &named);
			continue;
		}
		int from = class_character(p), to = from;
		if (p->end - p->at >= 2 && *p->at == '-' && p->at[1] != ']') {
			p->at++;
			to = class_character(p);
			if (!p->err && to < from)
				return pattern__fail(p, SM_INVALID, "invalid character class range");
		}
		set_range(&n.set, from, to);
	}
	if (p->err)
		return -1;
	p->at++;
	if (p->fold)
		set_fold(&n.set);
	if (invert)
		set_invert(&n.set);
	return node(p, n);
}

static int literal(struct parser *p, int c)
{
	struct node n = {.op = OP_SET};
	set_add(&n.set, c);
	if (p->fold)
		set_fold(&n.set);
	return node(p, n);
}

static bool take_number(struct parser *p, int *ret)
{
	const uint8_t *start = p->at;
	int n = 0;
	for (; p->at < p->end && isdigit(*p->at); p->at++)
		n = n > 1000 ? n : n * 10 + *p->at - '0';
	*ret = n;
	return p->at > start && (p->at - start == 1 || *start != '0');
}

/* {2}, {2,} or {2,3}; anything else in braces is meant as it stands. */
static bool take_counts(struct parser *p, int *ret_min, int *ret_max)
{
	const uint8_t *start = p->at;
	if (take(p, "{") && take_number(p, ret_min)) {
		*ret_max = *ret_min;
		if (take(p, ",") && !take_number(p, ret_max))
			*ret_max = -1;
		if (take(p, "}"))
			return true;
	}
	p->at = start;
	return false;
}

static bool take_quantifier(struct parser *p, int *ret_min, int *ret_max)
{
	*ret_min = 0;
	*ret_max = -1;
	if (take(p, "*"))
		return true;
	if (take(p, "+")) {
		*ret_min = 1;
		return true;
	}
	if (take(p, "?")) {
		*ret_max = 1;
		return true;
	}
	if (!take_counts(p, ret_min, ret_max))
		return false;
	if (*ret_min > 1000 || *ret_max > 1000 || (*ret_max >= 0 && *ret_max < *ret_min))
		pattern__fail(p, SM_INVALID, "invalid repeat count");
	return true;
}

static int parse_alternatives(struct parser *p);

/* The flags of (?i) or (?i:...). Only i changes what a topic's name matches: it has no lines, and no shorter match is asked for. */
static bool parse_flags(struct parser *p, bool *ret_group)
{
	bool on = true, any = false;
	while (p->at < p->end) {
		int c = *p->at++;
		if (c == ':' || c == ')') {
			*ret_group = c == ':';
			return on || any;
		}
		if (c == '-' && on) {
			on = any = false;
			continue;
		}
		if (!strchr("imsU", c))
			return false;
		any = true;
		if (c == 'i')
			p->fold = on;
	}
	return false;
}

static bool take_group_name(struct parser *p)
{
	const uint8_t *start = p->at;
	while (p->at < p->end && is_word(*p->at))
		p->at++;
	return p->at > start && take(p, ">");
}

static int parse_group(struct parser *p)
{
	bool fold = p->fold, group = true;
	if (take(p, "?P<") || take(p, "?<")) {
		if (!take_group_name(p))
			return pattern__fail(p, SM_INVALID, "invalid named capture");
	} else if (take(p, "?")) {
		if (!parse_flags(p, &group))
			return pattern__fail(p, SM_INVALID, "invalid or unsupported Perl syntax");
	}
	if (!group) { /* its flags hold until the group around it ends */
		int min, max;
		if (take_quantifier(p, &min, &max))
			return pattern__fail(p, SM_INVALID, "missing argument to repetition operator");
		return node(p, (struct node){.op = OP_EMPTY});
	}
	if (++p->depth > KAFKA_PATTERN_DEPTH_MAX)
		return pattern__fail(p, SM_TOO_LARGE, "expression nests too deeply");
	int inner = parse_alternatives(p);
	p->depth--;
	p->fold = fold;
	if (!p->err && !take(p, ")"))
		return pattern__fail(p, SM_INVALID, "missing closing )");
	return inner;
}

static int parse_escape(struct parser *p)
{
	struct node n = {.op = OP_SET};
	if (p->at == p->end)
		return pattern__fail(p, SM_INVALID, "trailing backslash at end of expression");
	if (take(p, "A"))
		return node(p, (struct node){.op = OP_BEGIN});
	if (take(p, "z"))
		return node(p, (struct node){.op = OP_END});
	if (take(p, "b"))
		return node(p, (struct node){.op = OP_WORD});
	if (take(p, "B"))
		return node(p, (struct node){.op = OP_NOT_WORD});
	if (take(p, "Q")) {
		p->quoting = true;
		return node(p, (struct node){.op = OP_EMPTY});
	}
	if (take_perl_class(p, &n.set))
		return node(p, n);
	int c = escaped_character(p);
	return p->err ? -1 : literal(p, c);
}

static int parse_atom(struct parser *p)
{
	int min, max, c;
	if (take_quantifier(p, &min, &max))
		return pattern__fail(p, SM_INVALID, "missing argument to repetition operator");
	c = next_character(p);
	switch (c) {
	case '(': return parse_group(p);
	case '[': return parse_class(p);
	case '\\': return parse_escape(p);
	case '^': return node(p, (struct node){.op = OP_BEGIN});
	case '$': return node(p, (struct node){.op = OP_END});
	case '.': return node(p, (struct node){.op = OP_SET, .set = all_characters});
	default: return literal(p, c);
	}
}

static bool at_end(const struct parser *p)
{
	return p->at == p->end || (!p->quoting && (*p->at == '|' || *p->at == ')'));
}

/* A character between \Q and \E, the latter taken with the last. */
static int parse_quoted(struct parser *p)
{
	int c = next_character(p);
	p->quoting = !take(p, "\\E");
	return literal(p, c);
}

static int parse_repeated(struct parser *p)
{
	struct node n = {.op = OP_REPEAT};
	int min, max;
	while (!p->quoting && take(p, "\\Q\\E"))
		;
	if (at_end(p))
		return node(p, (struct node){.op = OP_EMPTY});
	int atom = p->quoting ? parse_quoted(p) : parse_atom(p);
	if (p->err || p->quoting || !take_quantifier(p, &n.min, &n.max))
		return atom;
	take(p, "?"); /* as few as possible: the same names */
	if (take_quantifier(p, &min, &max))
		return pattern__fail(p, SM_INVALID, "invalid nested repetition operator");
	n.a = atom;
	return node(p, n);
}

static int parse_sequence(struct parser *p)
{
	int left = -1;
	while (!p->err && !at_end(p)) {
		int right = parse_repeated(p);
		left = left < 0 ? right : node(p, (struct node){.op = OP_CAT, .a = left, .b = right});
	}
	return left < 0 ? node(p, (struct node){.op = OP_EMPTY}) : left;
}

static int parse_alternatives(struct parser *p)
{
	int left = parse_sequence(p);
	while (!p->err && take(p, "|")) {
		int right = parse_sequence(p);
		left = node(p, (struct node){.op = OP_ALT, .a = left, .b = right});
	}
	return left;
}

int pattern__parse(struct parser *p)
{
	int top = parse_alternatives(p);
	if (!p->err && p->at < p->end)
		return pattern__fail(p, SM_INVALID, "unexpected )");
	return p->err ? -1 : top;
}
