/* CREATE, ALTER, DROP, LIST of roles and users; GRANT and REVOKE of roles and permissions. */
#include "cql/parse_internal.h"

#include <ctype.h>

static const char *token_text(struct parser *p)
{
	const char *text = arena_string(p->arena, (const char *)p->token.text.data, p->token.text.size);
	if (!text)
		parse__memory(p);
	else
		parse__next(p);
	return text;
}

/* A name, or a string, whose case is kept. */
static bool role_name(struct parser *p, const char **ret_name)
{
	if (p->token.kind == TOK_STRING)
		return (*ret_name = token_text(p)) != NULL && !p->failed;
	return parse__name(p, "a role name", ret_name);
}

static bool user_name(struct parser *p, const char **ret_name)
{
	if (p->token.kind == TOK_QUOTED)
		return parse__fail(p, CQL_SYNTAX_ERROR,
				   "Quoted strings are are not supported for user names and USER is deprecated, please use ROLE");
	if (p->token.kind != TOK_IDENT)
		return role_name(p, ret_name);
	return (*ret_name = token_text(p)) != NULL && !p->failed; /* users keep their case without quotes, too */
}

static bool password(struct parser *p, struct cql_role_statement *s, bool hashed)
{
	if (p->token.kind != TOK_STRING)
		return parse__expected(p, "a password in quotes");
	if (s->password && hashed != s->hashed)
		return parse__fail(p, CQL_SYNTAX_ERROR, "Options 'password' and 'hashed password' are mutually exclusive");
	if (s->password)
		return parse__fail(p, CQL_SYNTAX_ERROR, "Multiple definition for property '%s'", hashed ? "HASHED_PASSWORD" : "PASSWORD");
	s->hashed = hashed;
	return (s->password = token_text(p)) != NULL && !p->failed;
}

static bool flag(struct parser *p, const char *name, int8_t *ret)
{
	if (!parse__take(p, '='))
		return false;
	if (*ret >= 0)
		return parse__fail(p, CQL_SYNTAX_ERROR, "Multiple definition for property '%s'", name);
	bool yes = parse__at_word(p, "true");
	if (!yes && !parse__at_word(p, "false"))
		return parse__expected(p, "true or false");
	*ret = yes;
	parse__next(p);
	return !p->failed;
}

/* All is what every role has; a choice is read over to its end, and refused when the statement runs. */
static bool access_option(struct parser *p, struct cql_role_statement *s)
{
	if (!parse__skip_word(p, "to") && !parse__take_word(p, "from"))
		return false;
	if (parse__skip_word(p, "all")) {
		parse__next(p);
		return !p->failed;
	}
	s->access = true;
	parse__next(p);
	struct cql_term *set;
	return parse__term(p, &set);
}

static bool role_option(struct parser *p, struct cql_role_statement *s)
{
	struct cql_term *map;
	if (parse__skip_word(p, "hashed"))
		return parse__take_word(p, "password") && parse__take(p, '=') && password(p, s, true);
	if (parse__skip_word(p, "password"))
		return parse__take(p, '=') && password(p, s, false);
	if (parse__skip_word(p, "superuser"))
		return flag(p, "SUPERUSER", &s->superuser);
	if (parse__skip_word(p, "login"))
		return flag(p, "LOGIN", &s->login);
	if (parse__skip_word(p, "access"))
		return access_option(p, s);
	if (parse__skip_word(p, "options")) {
		s->options = true;
		return parse__take(p, '=') && parse__term(p, &map);
	}
	return parse__expected(p, "PASSWORD, HASHED PASSWORD, SUPERUSER, LOGIN, OPTIONS or ACCESS");
}

static bool role_options(struct parser *p, struct cql_role_statement *s)
{
	if (!parse__skip_word(p, "with"))
		return !p->failed;
	do
		if (!role_option(p, s))
			return false;
	while (parse__skip_word(p, "and"));
	return !p->failed;
}

static bool user_options(struct parser *p, struct cql_role_statement *s)
{
	if (parse__skip_word(p, "with")) {
		bool hashed = parse__skip_word(p, "hashed");
		if (!parse__take_word(p, "password") || !password(p, s, hashed))
			return false;
	}
	if (parse__skip_word(p, "superuser"))
		s->superuser = 1;
	else if (parse__skip_word(p, "nosuperuser"))
		s->superuser = 0;
	else if (s->verb == CQL_CREATE_ROLE)
		s->superuser = 0;
	if (s->verb == CQL_CREATE_ROLE)
		s->login = 1;
	return !p->failed;
}

/* CREATE, ALTER or DROP was read, and then ROLE or USER. */
bool parse__role(struct parser *p, struct cql_role_statement *s, enum cql_role_verb verb, bool user)
{
	*s = (struct cql_role_statement){.verb = verb, .user = user, .superuser = -1, .login = -1};
	if (!(verb == CQL_CREATE_ROLE ? parse__if_not_exists(p, &s->if_not_exists) : parse__if_exists(p, &s->if_exists)) ||
	    !(user ? user_name(p, &s->role) : role_name(p, &s->role)))
		return false;
	if (verb == CQL_DROP_ROLE)
		return true;
	return user ? user_options(p, s) : role_options(p, s);
}

/* ---- GRANT, REVOKE, LIST ---- */

/* A permission at the present token. */
static bool at_permission(const struct parser *p, unsigned *ret_bit)
{
	for (int i = 0; i < CQL_PERMISSIONS; i++)
		if (parse__at_word(p, cql__permission_names[i])) {
			*ret_bit = CQL_PERMISSION_BIT(i);
			return true;
		}
	return false;
}

/* ALL [PERMISSIONS], or permissions with commas; false without an error: it is none. */
static bool permissions(struct parser *p, unsigned *ret)
{
	unsigned bit = 0;
	*ret = 0;
	if (parse__skip_word(p, "all")) {
		parse__skip_word(p, "permissions");
		return !p->failed;
	}
	do {
		if (!at_permission(p, &bit))
			return parse__expected(p, "a permission");
		*ret |= bit;
		parse__next(p);
		if (!parse__skip_word(p, "permission"))
			parse__skip_word(p, "permissions");
	} while (parse__skip(p, ','));
	return !p->failed;
}

static bool all_resource(struct parser *p, struct cql_resource *r)
{
	if (parse__skip_word(p, "keyspaces")) {
		r->kind = CQL_ALL_KEYSPACES;
	} else if (parse__skip_word(p, "roles")) {
		r->kind = CQL_ALL_ROLES;
	} else if (parse__skip_word(p, "tables")) {
		r->kind = CQL_TABLES_OF_KEYSPACE;
		return parse__take_word(p, "in") && parse__take_word(p, "keyspace") && parse__name(p, "a keyspace name", &r->keyspace);
	} else if (parse__skip_word(p, "functions")) {
		r->kind = CQL_ALL_FUNCTIONS;
		if (parse__skip_word(p, "in")) {
			r->kind = CQL_FUNCTIONS_OF_KEYSPACE;
			return parse__take_word(p, "keyspace") && parse__name(p, "a keyspace name", &r->keyspace);
		}
	} else {
		return parse__expected(p, "KEYSPACES, TABLES IN KEYSPACE, ROLES or FUNCTIONS");
	}
	return !p->failed;
}

static bool resource(struct parser *p, struct cql_resource *r)
{
	struct cql_table_name table;
	*r = (struct cql_resource){0};
	struct cql_token next = parse__peek(p);
	/* A table may be called "role" or the like. */
	bool names_more = (next.kind == TOK_IDENT && !parse__token_is(&next, "to") && !parse__token_is(&next, "from")) ||
			  next.kind == TOK_QUOTED || next.kind == TOK_STRING;
	if (parse__skip_word(p, "all"))
		return all_resource(p, r);
	if (names_more && parse__skip_word(p, "keyspace")) {
		r->kind = CQL_ONE_KEYSPACE;
		return parse__name(p, "a keyspace name", &r->keyspace);
	}
	if (names_more && parse__skip_word(p, "role")) {
		r->kind = CQL_ONE_ROLE;
		return role_name(p, &r->name);
	}
	if (names_more && !parse__skip_word(p, "table"))
		parse__skip_word(p, "columnfamily");
	r->kind = CQL_ONE_TABLE;
	if (!parse__table(p, &table))
		return false;
	r->keyspace = table.keyspace;
	r->name = table.name;
	return true;
}

/* GRANT or REVOKE was not read yet. */
bool parse__grant(struct parser *p, struct cql_role_statement *s)
{
	bool grant = parse__at_word(p, "grant");
	const char *to = grant ? "to" : "from";
	parse__next(p);
	struct cql_token next = parse__peek(p);
	*s = (struct cql_role_statement){.superuser = -1, .login = -1};
	if (parse__token_is(&next, to)) {
		s->verb = grant ? CQL_GRANT_ROLE : CQL_REVOKE_ROLE;
		return role_name(p, &s->role) && parse__take_word(p, to) && role_name(p, &s->grantee);
	}
	s->verb = grant ? CQL_GRANT : CQL_REVOKE;
	return permissions(p, &s->permissions) && parse__take_word(p, "on") && resource(p, &s->resource) && parse__take_word(p, to) &&
	       role_name(p, &s->grantee);
}

bool parse__list(struct parser *p, struct cql_role_statement *s)
{
	parse__next(p);
	*s = (struct cql_role_statement){.superuser = -1, .login = -1};
	if (parse__skip_word(p, "users")) {
		s->verb = CQL_LIST_ROLES;
		s->user = true;
		return !p->failed;
	}
	if (parse__skip_word(p, "roles")) {
		s->verb = CQL_LIST_ROLES;
	} else {
		s->verb = CQL_LIST_PERMISSIONS;
		if (!permissions(p, &s->permissions) || (parse__skip_word(p, "on") && !resource(p, &s->resource)))
			return false;
	}
	if (parse__skip_word(p, "of") && !role_name(p, &s->grantee))
		return false;
	s->no_recursive = parse__skip_word(p, "norecursive");
	return !p->failed;
}
