/* Values of table options: which are allowed, and how Cassandra writes them. Most change nothing here; they are kept and shown. */
#include "cql/ddl_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COMPACTIONS "org.apache.cassandra.db.compaction."
#define COMPRESSORS "org.apache.cassandra.io.compress."
#define PAIRS_MAX 40

/* A map of strings that is being put in order. */
struct pairs {
	struct cql_context *c;
	const char *names[PAIRS_MAX], *values[PAIRS_MAX];
	uint32_t count;
};

static const char *get(const struct pairs *p, const char *name)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (strcmp(p->names[i], name) == 0)
			return p->values[i];
	return NULL;
}

static void set(struct pairs *p, const char *name, const char *value)
{
	uint32_t i = 0;
	while (i < p->count && strcmp(p->names[i], name) < 0)
		i++;
	if (i < p->count && strcmp(p->names[i], name) == 0) {
		p->values[i] = value;
		return;
	}
	memmove(&p->names[i + 1], &p->names[i], (p->count - i) * sizeof *p->names);
	memmove(&p->values[i + 1], &p->values[i], (p->count - i) * sizeof *p->values);
	p->names[i] = name;
	p->values[i] = value;
	p->count++;
}

static const char *string_of(struct cql_context *c, const struct cql_term *t)
{
	return arena_string(c->arena, (const char *)t->text.data, t->text.size);
}

static enum sm_err read_pairs(struct pairs *p, const struct cql_term *t)
{
	for (uint32_t i = 0; i + 1 < t->arg_count; i += 2) {
		const char *name = string_of(p->c, t->args[i]), *value = string_of(p->c, t->args[i + 1]);
		if (!name || !value)
			return cql__no_memory(p->c->err, p->c->arena);
		if (p->count >= PAIRS_MAX - 4)
			return cql__fail(p->c->err, CQL_CONFIG_ERROR, "An option has more than %d sub-options", PAIRS_MAX - 4);
		set(p, name, value);
	}
	return SM_OK;
}

static const char *text_of(struct pairs *p)
{
	static const struct store_type text = {.id = STORE_TEXT};
	const char *out = "{";
	for (uint32_t i = 0; out && i < p->count; i++) {
		struct store_cell n = cql__cell_text(p->c->arena, p->names[i]), v = cql__cell_text(p->c->arena, p->values[i]);
		out = arena_printf(p->c->arena, "%s%s%s: %s", out, i ? ", " : "", cql_literal_text(&text, n, p->c->arena),
				   cql_literal_text(&text, v, p->c->arena));
	}
	return out ? arena_printf(p->c->arena, "%s}", out) : NULL;
}

static bool among(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* ---- compaction ---- */

static const char *const common[] = {"class",
				     "enabled",
				     "tombstone_threshold",
				     "tombstone_compaction_interval",
				     "unchecked_tombstone_compaction",
				     "log_all",
				     "only_purge_repaired_tombstones",
				     "provide_overlapping_tombstones",
				     NULL};
static const char *const thresholds[] = {"min_threshold", "max_threshold", NULL};
static const char *const tiered[] = {"bucket_low", "bucket_high", "min_sstable_size", NULL};
static const char *const leveled[] = {"sstable_size_in_mb", "fanout_size", "single_sstable_uplevel", NULL};
static const char *const windows[] = {"compaction_window_unit",
				      "compaction_window_size",
				      "timestamp_resolution",
				      "expired_sstable_check_frequency_seconds",
				      "unsafe_aggressive_sstable_expiration",
				      NULL};
static const char *const unified[] = {"scaling_parameters",
				      "target_sstable_size",
				      "base_shard_count",
				      "flush_size_override",
				      "expired_sstable_check_frequency_seconds",
				      "unsafe_aggressive_sstable_expiration",
				      "overlap_inclusion_method",
				      "min_sstable_size",
				      "sstable_growth",
				      NULL};
static const char *const nothing[] = {NULL};

static const struct {
	const char *name;
	const char *const *options, *const *more;
	bool thresholds;
} strategies[] = {{"SizeTieredCompactionStrategy", tiered, nothing, true},
		  {"LeveledCompactionStrategy", leveled, nothing, true},
		  {"TimeWindowCompactionStrategy", windows, tiered, true},
		  {"UnifiedCompactionStrategy", unified, nothing, false}};

/* Digits, with a sign before them or not, that are an int. */
static bool is_integer(const char *text, long *ret)
{
	const char *digits = text + (*text == '-' || *text == '+');
	*ret = 0;
	if (!*digits || digits[strspn(digits, "0123456789")] || strlen(digits) > 18)
		return false;
	*ret = strtol(text, NULL, 10);
	return *ret >= INT32_MIN && *ret <= INT32_MAX;
}

static enum sm_err threshold(struct pairs *p, const char *name, long *ret)
{
	const char *text = get(p, name);
	if (!is_integer(text, ret))
		return cql__fail(p->c->err, CQL_CONFIG_ERROR, "Invalid value %s for '%s' compaction sub-option - must be an integer", text,
				 name);
	return SM_OK;
}

static enum sm_err check_thresholds(struct pairs *p)
{
	long least, most;
	if (!get(p, "min_threshold"))
		set(p, "min_threshold", "4");
	if (!get(p, "max_threshold"))
		set(p, "max_threshold", "32");
	enum sm_err err = threshold(p, "min_threshold", &least);
	if (err || (err = threshold(p, "max_threshold", &most)))
		return err;
	if (least < 2)
		return cql__fail(p->c->err, CQL_CONFIG_ERROR, "Min compaction threshold cannot be less than 2 (got %ld)", least);
	if (least > most)
		return cql__fail(p->c->err, CQL_CONFIG_ERROR,
				 "Min compaction threshold (got %ld) cannot be greater than max compaction threshold (got %ld)", least,
				 most);
	return SM_OK;
}

static enum sm_err compaction(struct pairs *p)
{
	struct cql_error *err = p->c->err;
	const char *class = get(p, "class"), *unknown = NULL;
	if (!class)
		return cql__fail(err, CQL_CONFIG_ERROR, "Missing sub-option 'class' for the 'compaction' option");
	const char *full = strchr(class, '.') ? class : arena_printf(p->c->arena, COMPACTIONS "%s", class);
	size_t i = 0, count = sizeof strategies / sizeof strategies[0];
	if (!full)
		return cql__no_memory(err, p->c->arena);
	while (i < count &&
	       (strncmp(full, COMPACTIONS, sizeof COMPACTIONS - 1) != 0 || strcmp(full + sizeof COMPACTIONS - 1, strategies[i].name) != 0))
		i++;
	if (i == count)
		return cql__fail(err, CQL_CONFIG_ERROR, "Unable to find compaction strategy class '%s'", full);
	set(p, "class", full);
	for (uint32_t k = 0; k < p->count; k++)
		if (!among(p->names[k], common) && !among(p->names[k], strategies[i].options) && !among(p->names[k], strategies[i].more) &&
		    !(strategies[i].thresholds && among(p->names[k], thresholds)))
			unknown = arena_printf(p->c->arena, "%s%s%s", unknown ? unknown : "", unknown ? ", " : "", p->names[k]);
	enum sm_err failed = strategies[i].thresholds ? check_thresholds(p) : SM_OK;
	if (!failed && unknown)
		return cql__fail(err, CQL_CONFIG_ERROR, "Properties specified [%s] are not understood by %s", unknown, strategies[i].name);
	return failed;
}

/* ---- compression, caching ---- */

static enum sm_err compression(struct pairs *p)
{
	static const char *const classes[] = {"LZ4Compressor",  "SnappyCompressor", "DeflateCompressor",
					      "ZstdCompressor", "NoopCompressor",   NULL};
	static const char *const known[] = {"class",
					    "enabled",
					    "chunk_length_in_kb",
					    "min_compress_ratio",
					    "crc_check_chance",
					    "lz4_compressor_type",
					    "lz4_high_compressor_level",
					    "compression_level",
					    NULL};
	struct cql_error *err = p->c->err;
	const char *class = get(p, "class"), *enabled = get(p, "enabled");
	if (p->count == 0 || (enabled && strcasecmp(enabled, "false") == 0)) {
		p->count = 0;
		set(p, "enabled", "false");
		return SM_OK;
	}
	if (!class)
		return cql__fail(err, CQL_CONFIG_ERROR, "Missing sub-option 'class' for the 'compression' option.");
	const char *full = strchr(class, '.') ? class : arena_printf(p->c->arena, COMPRESSORS "%s", class);
	if (!full)
		return cql__no_memory(err, p->c->arena);
	if (strncmp(full, COMPRESSORS, sizeof COMPRESSORS - 1) != 0 || !among(full + sizeof COMPRESSORS - 1, classes))
		return cql__fail(err, CQL_CONFIG_ERROR, "Could not create Compression for type %s", full);
	for (uint32_t i = 0; i < p->count; i++)
		if (!among(p->names[i], known))
			return cql__fail(err, CQL_CONFIG_ERROR, "Unknown compression options %s", p->names[i]);
	struct pairs out = {.c = p->c};
	for (uint32_t i = 0; i < p->count; i++)
		if (strcmp(p->names[i], "enabled") != 0)
			set(&out, p->names[i], p->values[i]);
	set(&out, "class", full);
	const char *chunk = get(&out, "chunk_length_in_kb");
	long kb = 16;
	if (chunk && !is_integer(chunk, &kb))
		return cql__fail(err, CQL_CONFIG_ERROR, "Invalid value for chunk_length_in_kb");
	if (kb <= 0 || (kb & (kb - 1)) != 0)
		return cql__fail(err, CQL_CONFIG_ERROR, "chunk_length_in_kb must be a power of 2");
	if (!chunk)
		set(&out, "chunk_length_in_kb", "16");
	*p = out;
	return SM_OK;
}

static enum sm_err caching(struct pairs *p)
{
	struct cql_error *err = p->c->err;
	for (uint32_t i = 0; i < p->count; i++)
		if (strcmp(p->names[i], "keys") != 0 && strcmp(p->names[i], "rows_per_partition") != 0)
			return cql__fail(err, CQL_CONFIG_ERROR,
					 "Invalid caching sub-options [%s]: only 'keys' and 'rows_per_partition' are allowed", p->names[i]);
	if (!get(p, "keys"))
		set(p, "keys", "NONE");
	if (!get(p, "rows_per_partition"))
		set(p, "rows_per_partition", "NONE");
	const char *keys = get(p, "keys"), *rows = get(p, "rows_per_partition");
	bool all = strcasecmp(keys, "ALL") == 0, named = strcasecmp(rows, "ALL") == 0 || strcasecmp(rows, "NONE") == 0;
	if (!all && strcasecmp(keys, "NONE") != 0)
		return cql__fail(err, CQL_CONFIG_ERROR,
				 "Invalid value '%s' for caching sub-option 'keys': only 'ALL' and 'NONE' are allowed", keys);
	if (!named && (!*rows || rows[strspn(rows, "0123456789")]))
		return cql__fail(err, CQL_CONFIG_ERROR,
				 "Invalid value '%s' for caching sub-option 'rows_per_partition': only 'ALL', 'NONE', and integer values "
				 "are allowed",
				 rows);
	set(p, "keys", all ? "ALL" : "NONE");
	if (named)
		set(p, "rows_per_partition", strcasecmp(rows, "ALL") == 0 ? "ALL" : "NONE");
	return SM_OK;
}

/* ---- the rest ---- */

static enum sm_err check_number(struct cql_context *c, const char *name, const char *value)
{
	static const struct {
		const char *name;
		int least;
	} bounds[] = {{"default_time_to_live", 0}, {"gc_grace_seconds", 0}, {"memtable_flush_period_in_ms", 0}, {"min_index_interval", 1}};
	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
		if (strcmp(bounds[i].name, name) == 0 && strtol(value, NULL, 10) < bounds[i].least)
			return cql__fail(c->err, CQL_CONFIG_ERROR, "%s must be greater than or equal to %d (got %s)", name, bounds[i].least,
					 value);
	double d = strtod(value, NULL);
	if (strcmp(name, "bloom_filter_fp_chance") == 0 && (d <= 6.71e-5 || d > 1))
		return cql__fail(c->err, CQL_CONFIG_ERROR, "%s must be larger than 6.71E-5 and less than or equal to 1.0 (got %s)", name,
				 cql__java_double(d, c->arena));
	if (strcmp(name, "crc_check_chance") == 0 && (d < 0 || d > 1))
		return cql__fail(c->err, CQL_CONFIG_ERROR, "%s must be larger than or equal to 0 and smaller than or equal to 1.0 (got %s)",
				 name, cql__java_double(d, c->arena));
	return SM_OK;
}

static enum sm_err read_repair(struct cql_context *c, const char *text, const char **value)
{
	bool none = strcasecmp(text, "none") == 0;
	if (!none && strcasecmp(text, "blocking") != 0) {
		char upper[64];
		size_t i = 0;
		for (; text[i] && i < sizeof upper - 1; i++)
			upper[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
		upper[i] = 0;
		return cql__fail(c->err, CQL_SERVER_ERROR,
				 "java.lang.IllegalArgumentException: No enum constant "
				 "org.apache.cassandra.service.reads.repair.ReadRepairStrategy.%s",
				 upper);
	}
	*value = none ? "'NONE'" : "'BLOCKING'";
	return SM_OK;
}

/* 99p, 99.9PERCENTILE, 50ms: the bytes of its number, and what stands behind it; 0: it is none of these. */
static size_t number_of(const char *text, size_t size, const char *const *units)
{
	char word[32];
	size_t digits = strspn(text, "0123456789"), end = digits;
	if (text[digits] == '.')
		end += 1 + strspn(text + digits + 1, "0123456789");
	if (!digits || end >= size || size - end >= sizeof word)
		return 0;
	memcpy(word, text + end, size - end);
	word[size - end] = 0;
	for (; *units; units++)
		if (strcasecmp(word, *units) == 0)
			return end;
	return 0;
}

static const char *const percentiles[] = {"p", "percentile", NULL};
static const char *const policies[] = {"p", "percentile", "ms", NULL};

/* MIN(99p, 50ms), MAX(...) */
static bool is_hybrid(const char *text)
{
	const char *comma = strchr(text, ','), *second = comma ? comma + 1 + strspn(comma + 1, " ") : NULL;
	size_t size = strlen(text);
	if ((strncasecmp(text, "min(", 4) != 0 && strncasecmp(text, "max(", 4) != 0) || !comma || text[size - 1] != ')')
		return false;
	size_t first = (size_t)(comma - text);
	while (first > 4 && text[first - 1] == ' ')
		first--;
	return first > 4 && second < text + size - 1 && number_of(text + 4, first - 4, policies) &&
	       number_of(second, (size_t)(text + size - 1 - second), policies);
}

static enum sm_err retry(struct cql_context *c, const char *name, const char *text, const char **value)
{
	size_t size = strlen(text), digits = number_of(text, size, percentiles);
	if (digits) {
		*value = arena_printf(c->arena, "'%.*sp'", (int)digits, text);
		return *value ? SM_OK : cql__no_memory(c->err, c->arena);
	}
	if (number_of(text, size, policies) || strcasecmp(text, "always") == 0 || strcasecmp(text, "never") == 0 ||
	    strcasecmp(text, "none") == 0 || is_hybrid(text))
		return SM_OK;
	return cql__fail(c->err, CQL_CONFIG_ERROR, "Invalid value %s for option '%s'", text, name);
}

enum sm_err ddl__option_value(struct cql_context *c, const struct cql_option *o, const char **value)
{
	struct pairs p = {.c = c};
	bool is_compaction = strcmp(o->name, "compaction") == 0, is_compression = strcmp(o->name, "compression") == 0;
	if (is_compaction || is_compression || strcmp(o->name, "caching") == 0) {
		enum sm_err err = read_pairs(&p, o->value);
		if (!err)
			err = is_compaction ? compaction(&p) : is_compression ? compression(&p) : caching(&p);
		if (err)
			return err;
		*value = text_of(&p);
		return *value ? SM_OK : cql__no_memory(c->err, c->arena);
	}
	if (o->value->kind != CQL_TERM_LITERAL)
		return SM_OK;
	const char *text = string_of(c, o->value);
	if (!text)
		return cql__no_memory(c->err, c->arena);
	if (strcmp(o->name, "read_repair") == 0)
		return read_repair(c, text, value);
	if (strcmp(o->name, "speculative_retry") == 0 || strcmp(o->name, "additional_write_policy") == 0)
		return retry(c, o->name, text, value);
	return check_number(c, o->name, text);
}
