/* Table options: which there are, their defaults (Cassandra 5.0's), and values as CQL literals. Only gc_grace_seconds and
 * default_time_to_live change what the store does; the rest is kept and shown, so that schemas travel unharmed. */
#include "cql/plan.h"

#include <string.h>

const struct cql_table_option cql__table_options[] = {
	{"additional_write_policy", "'99p'", CQL_OPT_TEXT},
	{"allow_auto_snapshot", "true", CQL_OPT_BOOL},
	{"bloom_filter_fp_chance", "0.01", CQL_OPT_DOUBLE},
	{"caching", "{'keys': 'ALL', 'rows_per_partition': 'NONE'}", CQL_OPT_MAP},
	{"cdc", "false", CQL_OPT_BOOL},
	{"comment", "''", CQL_OPT_TEXT},
	{"compaction",
	 "{'class': 'org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy', 'max_threshold': '32', 'min_threshold': '4'}",
	 CQL_OPT_MAP},
	{"compression", "{'chunk_length_in_kb': '16', 'class': 'org.apache.cassandra.io.compress.LZ4Compressor'}", CQL_OPT_MAP},
	{"memtable", "'default'", CQL_OPT_TEXT},
	{"crc_check_chance", "1.0", CQL_OPT_DOUBLE},
	{"default_time_to_live", "0", CQL_OPT_INT},
	{"extensions", "{}", CQL_OPT_MAP},
	{"gc_grace_seconds", "864000", CQL_OPT_INT},
	{"incremental_backups", "true", CQL_OPT_BOOL},
	{"max_index_interval", "2048", CQL_OPT_INT},
	{"memtable_flush_period_in_ms", "0", CQL_OPT_INT},
	{"min_index_interval", "128", CQL_OPT_INT},
	{"read_repair", "'BLOCKING'", CQL_OPT_TEXT},
	{"speculative_retry", "'99p'", CQL_OPT_TEXT},
};
const uint32_t cql__table_option_count = sizeof cql__table_options / sizeof cql__table_options[0];

const char *cql_table_option_name(uint32_t i)
{
	return i < cql__table_option_count ? cql__table_options[i].name : NULL;
}

const char *cql__table_option_value(const struct store_table *table, const struct cql_table_option *option)
{
	for (uint32_t i = 0; i < table->option_count; i++)
		if (strcmp(table->options[i].name, option->name) == 0)
			return table->options[i].value;
	return option->value;
}
