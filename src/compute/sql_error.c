/* Failures of SQL, one function a kind of place. They lie in a file of their own because callers are told (sql_internal.h, for the static
 * analyzer) that they never return SM_OK. */
#include "compute/sql_internal.h"
#include <stdio.h>

#undef sql__fail
#undef sql__no_memory
#undef parser__unexpected
#undef parser__no_memory
#undef eval_no_memory
#undef bind_no_memory

enum sm_err sql__fail(struct sm_error *reterr, enum sm_err code, uint32_t line, uint32_t column, const char *fmt, ...)
{
	char text[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return sm_fail(reterr, code, "line %u, column %u: %s", line, column, text);
}

enum sm_err sql__no_memory(struct sm_error *reterr)
{
	return sm_fail(reterr, SM_NO_MEMORY, "the plan needs too much memory");
}

enum sm_err parser__no_memory(struct parser *p)
{
	return sm_fail(p->reterr, arena_error(p->arena), "the statement needs too much memory");
}

enum sm_err parser__unexpected(struct parser *p, const char *wanted)
{
	const struct token *t = &p->token;
	if (t->kind == TOKEN_END)
		return sql__fail(p->reterr, SM_SYNTAX, t->line, t->column, "the text ends where %s is expected", wanted);
	int size = t->end - t->start > 40 ? 40 : (int)(t->end - t->start);
	return sql__fail(p->reterr, SM_SYNTAX, t->line, t->column, "\"%.*s\" stands where %s is expected", size,
			 (const char *)p->lexer.source.data + t->start, wanted);
}

enum sm_err bind_no_memory(struct binder *b)
{
	return sm_fail(b->reterr, arena_error(b->arena) ? arena_error(b->arena) : SM_NO_MEMORY, "the plan needs too much memory");
}

enum sm_err eval_no_memory(struct eval *c)
{
	return sm_fail(c->reterr, arena_error(c->arena) ? arena_error(c->arena) : SM_NO_MEMORY,
		       "an expression needs too much memory for one batch");
}
