/* The tables that drivers read when they connect, as Cassandra 5.0 defines them. They are written in CQL and made by the same code as a
 * user's tables; their rows are computed (system_rows.c). A driver that is not told of a column asks for none, so all are here. */
#include "cql/ddl_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_OPTIONS                                                                                                                       \
	"additional_write_policy text, allow_auto_snapshot boolean, bloom_filter_fp_chance double, caching frozen<map<text, text>>, "      \
	"cdc boolean, comment text, compaction frozen<map<text, text>>, compression frozen<map<text, text>>, crc_check_chance double, "    \
	"dclocal_read_repair_chance double, default_time_to_live int, extensions frozen<map<text, blob>>, gc_grace_seconds int, id uuid, " \
	"incremental_backups boolean, max_index_interval int, memtable text, memtable_flush_period_in_ms int, min_index_interval int, "    \
	"read_repair text, read_repair_chance double, speculative_retry text, "

static const char *const definitions[] = {
	"system.local (key text PRIMARY KEY, bootstrapped text, broadcast_address inet, broadcast_port int, cluster_name text, cql_version "
	"text, "
	"data_center text, gossip_generation int, host_id uuid, listen_address inet, listen_port int, native_protocol_version text, "
	"partitioner text, rack text, release_version text, rpc_address inet, rpc_port int, schema_version uuid, tokens set<text>, "
	"truncated_at map<uuid, blob>)",
	"system.peers (peer inet PRIMARY KEY, data_center text, host_id uuid, preferred_ip inet, rack text, release_version text, "
	"rpc_address inet, schema_version uuid, tokens set<text>)",
	"system.peers_v2 (peer inet, peer_port int, data_center text, host_id uuid, native_address inet, native_port int, preferred_ip "
	"inet, "
	"preferred_port int, rack text, release_version text, schema_version uuid, tokens set<text>, PRIMARY KEY (peer, peer_port))",
	"system.size_estimates (keyspace_name text, table_name text, range_start text, range_end text, mean_partition_size bigint, "
	"partitions_count bigint, PRIMARY KEY (keyspace_name, table_name, range_start, range_end))",
	"system.table_estimates (keyspace_name text, table_name text, range_type text, range_start text, range_end text, "
	"mean_partition_size "
	"bigint, partitions_count bigint, PRIMARY KEY (keyspace_name, table_name, range_type, range_start, range_end))",
	"system.built_views (keyspace_name text, view_name text, status_replicated boolean, PRIMARY KEY (keyspace_name, view_name))",
	"system_schema.keyspaces (keyspace_name text PRIMARY KEY, durable_writes boolean, replication frozen<map<text, text>>)",
	"system_schema.tables (keyspace_name text, table_name text, " VIEW_OPTIONS
	"flags frozen<set<text>>, PRIMARY KEY (keyspace_name, table_name))",
	"system_schema.columns (keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes blob, kind "
	"text, "
	"position int, type text, PRIMARY KEY (keyspace_name, table_name, column_name))",
	"system_schema.dropped_columns (keyspace_name text, table_name text, column_name text, dropped_time timestamp, kind text, type "
	"text, "
	"PRIMARY KEY (keyspace_name, table_name, column_name))",
	"system_schema.column_masks (keyspace_name text, table_name text, column_name text, function_keyspace text, function_name text, "
	"function_argument_types frozen<list<text>>, function_argument_values frozen<list<text>>, function_argument_nulls "
	"frozen<list<boolean>>, "
	"PRIMARY KEY (keyspace_name, table_name, column_name))",
	"system_schema.triggers (keyspace_name text, table_name text, trigger_name text, options frozen<map<text, text>>, "
	"PRIMARY KEY (keyspace_name, table_name, trigger_name))",
	"system_schema.views (keyspace_name text, view_name text, base_table_id uuid, base_table_name text, include_all_columns boolean, "
	"where_clause text, " VIEW_OPTIONS "PRIMARY KEY (keyspace_name, view_name))",
	"system_schema.indexes (keyspace_name text, table_name text, index_name text, kind text, options frozen<map<text, text>>, "
	"PRIMARY KEY (keyspace_name, table_name, index_name))",
	"system_schema.types (keyspace_name text, type_name text, field_names frozen<list<text>>, field_types frozen<list<text>>, "
	"PRIMARY KEY (keyspace_name, type_name))",
	"system_schema.functions (keyspace_name text, function_name text, argument_types frozen<list<text>>, argument_names "
	"frozen<list<text>>, "
	"body text, called_on_null_input boolean, language text, return_type text, PRIMARY KEY (keyspace_name, function_name))",
	"system_schema.aggregates (keyspace_name text, aggregate_name text, argument_types frozen<list<text>>, final_func text, initcond "
	"text, "
	"return_type text, state_func text, state_type text, PRIMARY KEY (keyspace_name, aggregate_name))",
	"system_auth.roles (role text PRIMARY KEY, can_login boolean, is_superuser boolean, member_of set<text>, salted_hash text)",
	"system_auth.role_members (role text, member text, PRIMARY KEY (role, member))",
	"system_auth.role_permissions (role text, resource text, permissions set<text>, PRIMARY KEY (role, resource))",
	"system_auth.resource_role_permissons_index (resource text, role text, PRIMARY KEY (resource, role))",
	"system_auth.network_permissions (role text PRIMARY KEY, dcs frozen<set<text>>)",
	"system_auth.identity_to_role (identity text PRIMARY KEY, role text)",
	"system_auth.cidr_permissions (role text PRIMARY KEY, cidr_groups frozen<set<text>>)",
	"system_traces.events (session_id uuid, event_id timeuuid, activity text, source inet, source_elapsed int, source_port int, thread "
	"text, "
	"PRIMARY KEY (session_id, event_id))",
	"system_traces.sessions (session_id uuid PRIMARY KEY, client inet, command text, coordinator inet, coordinator_port int, duration "
	"int, "
	"parameters map<text, text>, request text, started_at timestamp)",
	"system_virtual_schema.columns (keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes "
	"blob, "
	"kind text, position int, type text, PRIMARY KEY (keyspace_name, table_name, column_name))",
	"system_virtual_schema.keyspaces (keyspace_name text PRIMARY KEY)",
	"system_virtual_schema.tables (keyspace_name text, table_name text, comment text, PRIMARY KEY (keyspace_name, table_name))",
};
#define TABLES (sizeof definitions / sizeof definitions[0])

/* The same bytes for the same name in every run: drivers keep host ids and table ids. */
static struct uuid uuid_of_name(const char *a, const char *b)
{
	struct uuid u;
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[256];
	int n = snprintf(text, sizeof text, "smack:%s.%s", a, b);
	unsigned size = 0;
	if (!EVP_Digest(text, (size_t)(n < (int)sizeof text ? n : (int)sizeof text - 1), digest, &size, EVP_md5(), NULL))
		memset(digest, 0, sizeof digest);
	memcpy(u.bytes, digest, 16);
	u.bytes[6] = (uint8_t)((u.bytes[6] & 0x0f) | 0x30);
	u.bytes[8] = (uint8_t)((u.bytes[8] & 0x3f) | 0x80);
	return u;
}

static enum sm_err make_table(struct cql_context *c, const char *definition, const struct store_table **ret_table)
{
	struct cql_statement *s;
	struct store_table *t;
	const char *text = arena_printf(c->arena, "CREATE TABLE %s", definition);
	if (!text)
		return SM_NO_MEMORY;
	enum sm_err err = cql__parse(bytes_str(text), c->arena, &s, c->err);
	if (err || (err = ddl__table(c, &s->ddl, s->ddl.table.keyspace, true, &t)))
		return err;
	t->id = uuid_of_name(t->keyspace, t->name);
	*ret_table = t;
	return SM_OK;
}

static int by_name(const void *a, const void *b)
{
	const struct store_table *x = *(const struct store_table *const *)a, *y = *(const struct store_table *const *)b;
	int order = strcmp(x->keyspace, y->keyspace);
	return order ? order : strcmp(x->name, y->name);
}

enum sm_err cql__system_schema(struct cql_engine *engine)
{
	static const struct store_option local[] = {{"class", "org.apache.cassandra.locator.LocalStrategy"}};
	static const struct store_option simple[] = {{"class", "org.apache.cassandra.locator.SimpleStrategy"}, {"replication_factor", "1"}};
	struct cql_error why = {0};
	struct store_schema none = {0};
	struct cql_context c = {.engine = engine, .schema = &none, .arena = &engine->arena, .err = &why};
	const struct store_table **tables = arena_alloc(&engine->arena, sizeof *tables * TABLES);
	struct store_keyspace *keyspaces = arena_alloc(&engine->arena, sizeof *keyspaces * TABLES);
	uint32_t count = 0;
	if (!tables || !keyspaces)
		return SM_NO_MEMORY;
	for (size_t i = 0; i < TABLES; i++) {
		enum sm_err err = make_table(&c, definitions[i], &tables[i]);
		if (err)
			return err;
	}
	qsort(tables, TABLES, sizeof *tables, by_name);
	for (size_t i = 0; i < TABLES; i++) {
		if (!count || strcmp(keyspaces[count - 1].name, tables[i]->keyspace) != 0) {
			bool replicated = strcmp(tables[i]->keyspace, "system_traces") == 0 ||
					  strcmp(tables[i]->keyspace, "system_auth") == 0;
			keyspaces[count++] = (struct store_keyspace){.name = tables[i]->keyspace,
								     .durable_writes = true,
								     .replication = replicated ? simple : local,
								     .replication_count = replicated ? 2 : 1,
								     .tables = &tables[i]};
		}
		keyspaces[count - 1].table_count++;
	}
	engine->system = (struct store_schema){.keyspaces = keyspaces, .keyspace_count = count};
	return SM_OK;
}

enum sm_err cql__engine_init(struct cql_engine *engine, struct sm_store *store, struct clock *clock, const char *cluster_name)
{
	*engine = (struct cql_engine){.store = store, .clock = clock ? clock : &clock_system};
	arena_init(&engine->arena, 0);
	engine->cluster_name = arena_string(&engine->arena, cluster_name ? cluster_name : "smack",
					    strlen(cluster_name ? cluster_name : "smack"));
	enum sm_err err = engine->cluster_name ? SM_OK : SM_NO_MEMORY;
	if (!err) {
		engine->host_id = uuid_of_name("host", engine->cluster_name);
		err = cql__system_schema(engine);
	}
	if (err)
		cql__engine_done(engine);
	return err;
}

void cql__engine_done(struct cql_engine *engine)
{
	arena_done(&engine->arena);
}
