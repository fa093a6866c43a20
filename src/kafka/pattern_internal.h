/* A pattern on its way: pattern_parse.c makes the tree, pattern.c the program. */
#ifndef KAFKA_PATTERN_INTERNAL_H
#define KAFKA_PATTERN_INTERNAL_H

#include "kafka/kafka_limits.h"
#include "kafka/pattern.h"
#include <ctype.h>

/* A set of ASCII characters. */
struct set {
	uint64_t bits[2];
};
static inline bool set_has(const struct set *s, int c)
{
	return c >= 0 && c < 128 && (s->bits[c / 64] >> (c % 64) & 1);
}
static inline bool is_word(int c)
{
	return c < 128 && (isalnum(c) || c == '_');
}

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

/* The first failure counts. Returns -1. */
int pattern__fail(struct parser *p, enum sm_err err, const char *why);
/* The whole of p->at to p->end. Returns the topmost node; -1: p->err. */
int pattern__parse(struct parser *p);

#endif
