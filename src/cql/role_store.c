/* Where roles are kept: tables in the store, read and written by statements of this room.
 *
 * smack_system.cql_role         role text -> superuser boolean, login boolean, hash text
 * smack_system.cql_role_member  member text, role text                           the member has what the role has
 * smack_system.cql_role_grant   role text, resource text, permission text        resource as in cql__resource_name */
#include "cql/role_internal.h"

#include "auth/auth.h"
#include "base/logging.h"
#include <pthread.h>
#include <stdlib.h>

struct cql_roles {
	struct cql_session *session; /* under changing */
	pthread_mutex_t changing;
	pthread_mutex_t lock; /* of the pointer */
	struct cql_role_picture *picture;
};

static const char tables[] =
	"CREATE KEYSPACE IF NOT EXISTS smack_system WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};"
	"CREATE TABLE IF NOT EXISTS " ROLE_TABLE " (role text PRIMARY KEY, superuser boolean, login boolean, hash text);"
	"CREATE TABLE IF NOT EXISTS " ROLE_MEMBER_TABLE " (member text, role text, PRIMARY KEY (member, role));"
	"CREATE TABLE IF NOT EXISTS " ROLE_GRANT_TABLE
	" (role text, resource text, permission text, PRIMARY KEY (role, resource, permission));";

/* ---- the picture ---- */

void cql__role_picture_unref(struct cql_role_picture *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	arena_done(&p->arena);
	free(p);
}

struct cql_role_picture *cql__roles_picture(struct cql_roles *roles)
{
	pthread_mutex_lock(&roles->lock);
	struct cql_role_picture *p = roles->picture;
	atomic_fetch_add(&p->refs, 1);
	pthread_mutex_unlock(&roles->lock);
	return p;
}

struct load {
	struct cql_role_picture *p;
	uint32_t role_cap, grant_cap;
};

static const char *copy(struct load *l, const char *text)
{
	return text ? arena_string(&l->p->arena, text, strlen(text)) : NULL;
}

static enum sm_err take_role(void *arg, const char *const *v, uint32_t count)
{
	struct load *l = arg;
	struct cql_role_picture *p = l->p;
	p->roles = cql__grow(&p->arena, p->roles, p->role_count, &l->role_cap, sizeof *p->roles);
	struct cql_role role = {.name = copy(l, v[0]), .hash = copy(l, v[3])};
	role.superuser = v[1] && strcmp(v[1], "True") == 0;
	role.login = v[2] && strcmp(v[2], "True") == 0;
	if (!p->roles || !role.name || (v[3] && !role.hash))
		return SM_NO_MEMORY;
	p->roles[p->role_count++] = role;
	return SM_OK;
}

/* After the roles are sorted. A member that is no role any more is passed over. */
static enum sm_err take_member(void *arg, const char *const *v, uint32_t count)
{
	struct load *l = arg;
	struct cql_role *role = (struct cql_role *)cql__role_find(l->p, v[0]);
	if (!role || !cql__role_find(l->p, v[1]))
		return SM_OK;
	const char **more = arena_alloc(&l->p->arena, sizeof *more * (role->member_count + 1));
	if (!more || !(more[role->member_count] = copy(l, v[1])))
		return SM_NO_MEMORY;
	if (role->member_count)
		memcpy(more, role->member_of, sizeof *more * role->member_count);
	role->member_of = more; /* they come in order: the table is sorted by role */
	role->member_count++;
	return SM_OK;
}

/* One row a permission; those of one role and resource come together. */
static enum sm_err take_grant(void *arg, const char *const *v, uint32_t count)
{
	struct load *l = arg;
	struct cql_role_picture *p = l->p;
	struct cql_grant *last = p->grant_count ? &p->grants[p->grant_count - 1] : NULL;
	unsigned bit = 0;
	for (int i = 0; i < CQL_PERMISSIONS; i++)
		if (strcmp(v[2], cql__permission_names[i]) == 0)
			bit = CQL_PERMISSION_BIT(i);
	if (last && strcmp(last->role, v[0]) == 0 && strcmp(last->resource, v[1]) == 0) {
		last->permissions |= bit;
		return SM_OK;
	}
	p->grants = cql__grow(&p->arena, p->grants, p->grant_count, &l->grant_cap, sizeof *p->grants);
	struct cql_grant grant = {.role = copy(l, v[0]), .resource = copy(l, v[1]), .permissions = bit};
	if (!p->grants || !grant.role || !grant.resource)
		return SM_NO_MEMORY;
	p->grants[p->grant_count++] = grant;
	return SM_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct cql_role *)a)->name, ((const struct cql_role *)b)->name);
}
static int by_role_and_resource(const void *a, const void *b)
{
	const struct cql_grant *x = a, *y = b;
	int order = strcmp(x->role, y->role);
	return order ? order : strcmp(x->resource, y->resource);
}

static enum sm_err read_table(struct cql_roles *roles, const char *select, struct load *l,
			      enum sm_err (*row)(void *arg, const char *const *values, uint32_t count), struct sm_error *reterr)
{
	struct cql_sink sink = {.arg = l, .row = row};
	return cql_session_run(roles->session, bytes_str(select), &sink, reterr);
}

/* Read all tables into a new picture. Under the lock of changes, or before anyone else knows of roles. */
static enum sm_err load(struct cql_roles *roles, struct sm_error *reterr)
{
	struct load l = {.p = calloc(1, sizeof *l.p)};
	if (!l.p)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the roles");
	atomic_init(&l.p->refs, 1);
	arena_init(&l.p->arena, 0);
	enum sm_err err = read_table(roles, "SELECT role, superuser, login, hash FROM " ROLE_TABLE, &l, take_role, reterr);
	if (!err && l.p->role_count)
		qsort(l.p->roles, l.p->role_count, sizeof *l.p->roles, by_name);
	if (!err)
		err = read_table(roles, "SELECT member, role FROM " ROLE_MEMBER_TABLE, &l, take_member, reterr);
	if (!err)
		err = read_table(roles, "SELECT role, resource, permission FROM " ROLE_GRANT_TABLE, &l, take_grant, reterr);
	if (err) {
		cql__role_picture_unref(l.p);
		return err;
	}
	if (l.p->grant_count)
		qsort(l.p->grants, l.p->grant_count, sizeof *l.p->grants, by_role_and_resource);
	pthread_mutex_lock(&roles->lock);
	struct cql_role_picture *old = roles->picture;
	roles->picture = l.p;
	pthread_mutex_unlock(&roles->lock);
	cql__role_picture_unref(old);
	return SM_OK;
}

/* ---- changes ---- */

void role__put_text(struct buf *out, const char *text)
{
	buf_u8(out, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buf_u8(out, '\'');
		buf_u8(out, (uint8_t)*text);
	}
	buf_u8(out, '\'');
}

void role__lock(struct cql_roles *roles)
{
	pthread_mutex_lock(&roles->changing);
}
void role__unlock(struct cql_roles *roles)
{
	pthread_mutex_unlock(&roles->changing);
}

enum sm_err role__change(struct cql_roles *roles, const struct buf *statements, struct cql_error *err)
{
	struct sm_error why = {0};
	struct buf batch; /* all or none */
	buf_init(&batch);
	buf_append_str(&batch, "BEGIN BATCH ");
	buf_append_bytes(&batch, buf_bytes(statements));
	buf_append_str(&batch, " APPLY BATCH");
	enum sm_err failed = statements->failed || batch.failed ? sm_fail(&why, SM_NO_MEMORY, "no memory for the roles")
								: cql_session_run(roles->session, buf_bytes(&batch), NULL, &why);
	buf_done(&batch);
	if (!failed)
		failed = load(roles, &why);
	return failed ? cql__fail_store(err, failed, why.text) : SM_OK;
}

/* ---- begin and end ---- */

static enum sm_err make_first_role(struct cql_roles *roles, struct sm_error *reterr)
{
	char hash[AUTH_PASSWORD_HASH_BYTES];
	struct buf out;
	if (!auth_password_hash(BYTES("cassandra"), hash))
		return sm_fail(reterr, SM_FAILED, "the first role's password cannot be hashed: bcrypt is not available");
	buf_init(&out);
	buf_printf(&out, "INSERT INTO " ROLE_TABLE " (role, superuser, login, hash) VALUES ('cassandra', true, true, '%s')", hash);
	enum sm_err err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory for the roles")
				     : cql_session_run(roles->session, buf_bytes(&out), NULL, reterr);
	buf_done(&out);
	if (!err)
		LOG_WARN("cql", "made the first role: cassandra, with the password cassandra; change it: ALTER ROLE cassandra WITH "
				"PASSWORD = '...'");
	return err ? err : load(roles, reterr);
}

enum sm_err cql__roles_open(struct sm_store *store, struct cql_roles **ret_roles, struct sm_error *reterr)
{
	struct cql_roles *roles = calloc(1, sizeof *roles);
	if (!roles)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the roles");
	pthread_mutex_init(&roles->changing, NULL);
	pthread_mutex_init(&roles->lock, NULL);
	enum sm_err err = cql_session_new(store, NULL, &roles->session);
	if (err)
		sm_fail(reterr, err, "the roles cannot be read: %s", sm_err_text(err));
	if (!err)
		err = cql_session_run(roles->session, bytes_str(tables), NULL, reterr);
	if (!err)
		err = load(roles, reterr);
	if (!err && roles->picture->role_count == 0)
		err = make_first_role(roles, reterr);
	if (err)
		cql__roles_free(roles);
	else
		*ret_roles = roles;
	return err;
}

void cql__roles_free(struct cql_roles *roles)
{
	if (!roles)
		return;
	cql_session_free(roles->session);
	cql__role_picture_unref(roles->picture);
	pthread_mutex_destroy(&roles->changing);
	pthread_mutex_destroy(&roles->lock);
	free(roles);
}
