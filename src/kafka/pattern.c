/* A pattern is parsed into a tree, the tree becomes a program, and the program runs over a name in all its states at once (Thompson's
 * construction): no name takes longer than its length times the program's. */
#include "kafka/pattern.h"
#include "kafka/kafka_limits.h"
#include <ctype.h>
#include <stdlib.h>

/* ---- sets of ASCII characters ---- */

struct set {
	uint64_t bits[2];
};
static const struct set all_characters = {{UINT64_MAX, UINT64_MAX}};

static void set_add(struct set *s, int c)
{
	if (c >= 0 && c < 128)
		s->bits[c / 64] |= (uint64_t)1 << (c % 64);
}
static bool set_has(const struct set *s, int c)
{
	return c >= 0 && c < 128 && (s->bits[c / 64] >> (c % 64) & 1);
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
static bool is_word(int c)
{
	return c < 128 && (isalnum(c) || c == '_');
}

/* ---- the tree ---- */

enum op { OP_SET, OP_EMPTY, OP_BEGIN, OP_END, OP_WORD, OP_NOT_WORD, OP_CAT, OP_ALT, OP_REPEAT, OP_SPLIT, OP_JUMP, OP_MATCH };
struct node {
	enum op op;
	struct set set;
	int a, b; /* nodes below */
	int min, max;
};
struct parser {
	const uint8_t *at, *end;
	bool fold, quoting;
	int depth;
	struct node *nodes;
	int count;
	const char *why;
	enum sm_err err;
};

static int fail(struct parser *p, enum sm_err err, const char *why)
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
		return fail(p, SM_TOO_LARGE, "expression too large");
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
		value = value * 16 + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
		digits++;
	}
	if (!digits || (braces ? !take(p, "}") : digits != 2))
		return fail(p, SM_INVALID, "invalid escape sequence");
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
		return fail(p, SM_INVALID, "Unicode classes are not supported here");
	return c < 128 && ispunct(c) ? c : fail(p, SM_INVALID, "invalid escape sequence");
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
		fail(p, SM_INVALID, "invalid character class range");
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
		return fail(p, SM_INVALID, "missing closing ]");
	return take(p, "\\") ? p->at == p->end ? fail(p, SM_INVALID, "trailing backslash at end of expression") : escaped_character(p)
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
				return fail(p, SM_INVALID, "invalid character class range");
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
	while (p->at < p->end && isdigit(*p->at))
		n = n > 1000 ? n : n * 10 + *p->at++ - '0';
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
		fail(p, SM_INVALID, "invalid repeat count");
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
			return fail(p, SM_INVALID, "invalid named capture");
	} else if (take(p, "?")) {
		if (!parse_flags(p, &group))
			return fail(p, SM_INVALID, "invalid or unsupported Perl syntax");
	}
	if (!group) { /* its flags hold until the group around it ends */
		int min, max;
		if (take_quantifier(p, &min, &max))
			return fail(p, SM_INVALID, "missing argument to repetition operator");
		return node(p, (struct node){.op = OP_EMPTY});
	}
	if (++p->depth > KAFKA_PATTERN_DEPTH_MAX)
		return fail(p, SM_TOO_LARGE, "expression nests too deeply");
	int inner = parse_alternatives(p);
	p->depth--;
	p->fold = fold;
	if (!p->err && !take(p, ")"))
		return fail(p, SM_INVALID, "missing closing )");
	return inner;
}

static int parse_escape(struct parser *p)
{
	struct node n = {.op = OP_SET};
	if (p->at == p->end)
		return fail(p, SM_INVALID, "trailing backslash at end of expression");
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
		return fail(p, SM_INVALID, "missing argument to repetition operator");
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
		return fail(p, SM_INVALID, "invalid nested repetition operator");
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

/* ---- the program ---- */

struct instruction {
	enum op op;
	int x, y; /* OP_SPLIT: both are next; OP_JUMP: x is. The others go on with the one behind them */
	struct set set;
};
struct pattern {
	struct instruction *program;
	int count;
	int *now, *next, *stack; /* states */
	uint64_t *seen, mark;    /* when a state was entered last */
};

static int emit(struct pattern *o, struct parser *p, struct instruction i)
{
	if (o->count == KAFKA_PATTERN_PROGRAM_MAX) {
		fail(p, SM_TOO_LARGE, "expression too large");
		return 0;
	}
	o->program[o->count] = i;
	return o->count++;
}

static void emit_node(struct pattern *o, struct parser *p, int at);

static void emit_repeat(struct pattern *o, struct parser *p, const struct node *n)
{
	for (int i = 0; i < n->min && !p->err; i++) {
		int before = o->count;
		emit_node(o, p, n->a);
		if (o->count == before) /* it matches nothing: once is as good as often */
			break;
	}
	if (n->max < 0) {
		int split = emit(o, p, (struct instruction){.op = OP_SPLIT, .x = o->count + 1});
		emit_node(o, p, n->a);
		emit(o, p, (struct instruction){.op = OP_JUMP, .x = split});
		o->program[split].y = o->count;
		return;
	}
	int last = -1; /* the splits that leave: chained by y until it is known where they go */
	for (int i = n->min; i < n->max && !p->err; i++) {
		last = emit(o, p, (struct instruction){.op = OP_SPLIT, .x = o->count + 1, .y = last});
		emit_node(o, p, n->a);
	}
	while (last >= 0 && !p->err) {
		int before = o->program[last].y;
		o->program[last].y = o->count;
		last = before;
	}
}

static void emit_node(struct pattern *o, struct parser *p, int at)
{
	const struct node *n = &p->nodes[at];
	if (p->err)
		return;
	switch (n->op) {
	case OP_EMPTY: break;
	case OP_CAT:
		emit_node(o, p, n->a);
		emit_node(o, p, n->b);
		break;
	case OP_ALT: {
		int split = emit(o, p, (struct instruction){.op = OP_SPLIT, .x = o->count + 1});
		emit_node(o, p, n->a);
		int jump = emit(o, p, (struct instruction){.op = OP_JUMP});
		o->program[split].y = o->count;
		emit_node(o, p, n->b);
		o->program[jump].x = o->count;
		break;
	}
	case OP_REPEAT: emit_repeat(o, p, n); break;
	default: emit(o, p, (struct instruction){.op = n->op, .set = n->set}); break;
	}
}

void pattern__free(struct pattern *o)
{
	if (!o)
		return;
	free(o->program);
	free(o->now);
	free(o->next);
	free(o->stack);
	free(o->seen);
	free(o);
}

static enum sm_err make_states(struct pattern *o)
{
	size_t n = (size_t)o->count;
	o->now = calloc(n, sizeof *o->now);
	o->next = calloc(n, sizeof *o->next);
	o->stack = calloc(2 * n + 1, sizeof *o->stack);
	o->seen = calloc(n, sizeof *o->seen);
	return o->now && o->next && o->stack && o->seen ? SM_OK : SM_NO_MEMORY;
}

enum sm_err pattern__new(struct bytes text, struct pattern **ret_pattern, const char **ret_why)
{
	struct parser p = {.at = text.data, .end = text.data + text.size};
	struct pattern *o = calloc(1, sizeof *o);
	p.nodes = malloc(KAFKA_PATTERN_PROGRAM_MAX * sizeof *p.nodes);
	if (o)
		o->program = malloc(KAFKA_PATTERN_PROGRAM_MAX * sizeof *o->program);
	if (!o || !p.nodes || !o->program)
		fail(&p, SM_NO_MEMORY, "no memory");
	int top = p.err ? -1 : parse_alternatives(&p);
	if (!p.err && p.at < p.end)
		fail(&p, SM_INVALID, "unexpected )");
	if (!p.err)
		emit_node(o, &p, top);
	if (!p.err)
		emit(o, &p, (struct instruction){.op = OP_MATCH});
	if (!p.err && make_states(o))
		fail(&p, SM_NO_MEMORY, "no memory");
	free(p.nodes);
	if (p.err) {
		pattern__free(o);
		*ret_why = p.why;
		return p.err;
	}
	*ret_pattern = o;
	return SM_OK;
}

/* ---- running it ---- */

struct place {
	bool begin, end, word; /* word: a word begins or ends here */
};

/* The states that are reached from one without a character, in *states. */
static void enter(struct pattern *o, int state, struct place place, int *states, int *count)
{
	int depth = 0;
	o->stack[depth++] = state;
	while (depth) {
		int at = o->stack[--depth];
		const struct instruction *i = &o->program[at];
		if (o->seen[at] == o->mark)
			continue;
		o->seen[at] = o->mark;
		bool pass = true;
		switch (i->op) {
		case OP_SPLIT: o->stack[depth++] = i->y; /* fall through */
		case OP_JUMP: o->stack[depth++] = i->x; continue;
		case OP_BEGIN: pass = place.begin; break;
		case OP_END: pass = place.end; break;
		case OP_WORD: pass = place.word; break;
		case OP_NOT_WORD: pass = !place.word; break;
		default: states[(*count)++] = at; continue;
		}
		if (pass)
			o->stack[depth++] = at + 1;
	}
}

bool pattern__matches(struct pattern *o, const char *name)
{
	int count = 0;
	const uint8_t *text = (const uint8_t *)name;
	struct place place = {true, !*text, *text && is_word(*text)};
	o->mark++;
	enter(o, 0, place, o->now, &count);
	for (; *text && count; text++) {
		int next = 0;
		bool word = text[1] && is_word(text[1]);
		place = (struct place){false, !text[1], is_word(*text) != word};
		o->mark++;
		for (int i = 0; i < count; i++) {
			const struct instruction *in = &o->program[o->now[i]];
			if (in->op == OP_SET && set_has(&in->set, *text))
				enter(o, o->now[i] + 1, place, o->next, &next);
		}
		int *swap = o->now;
		o->now = o->next;
		o->next = swap;
		count = next;
	}
	for (int i = 0; i < count; i++) {
		if (o->program[o->now[i]].op == OP_MATCH)
			return true;
	}
	return false;
}
