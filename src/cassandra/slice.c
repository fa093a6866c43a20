/* Ranges of clusterings in CQL's words. A range of our own lies between two prefixes, in the table's order; CQL can say: the first columns
 * are these, and the next one lies between these values. So a range is cut into at most two slices for each column and one in the middle:
 * from (1, 5) to (3), exclusive, of columns a, b is  a = 1 AND b > 5,  a > 1 AND a < 3. */
#include "cassandra/cassandra_internal.h"

/* The next column's bounds are in the table's order; CQL's are in the values'. */
static void put_slice(const struct store_table *t, struct cassandra_slice *s, const struct store_cell *prefix, uint16_t equals,
		      enum store_bound_kind from_kind, struct store_cell from, enum store_bound_kind to_kind, struct store_cell to)
{
	bool descending = equals < t->clustering_count && t->columns[t->partition_key_count + equals].descending;
	*s = (struct cassandra_slice){.equals = equals,
				      .prefix = prefix,
				      .lower = descending ? to_kind : from_kind,
				      .upper = descending ? from_kind : to_kind,
				      .low = descending ? to : from,
				      .high = descending ? from : to};
}

static bool same(struct store_cell a, struct store_cell b)
{
	return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

uint32_t cassandra__slices(const struct store_table *t, const struct store_bound *from, const struct store_bound *to,
			   struct cassandra_slice *ret)
{
	const struct store_cell none = client__null();
	uint16_t m = from->kind == STORE_UNBOUNDED ? 0 : from->count, n = to->kind == STORE_UNBOUNDED ? 0 : to->count, common = 0;
	uint32_t count = 0;
	bool from_out = m && from->kind == STORE_EXCLUSIVE, to_out = n && to->kind == STORE_EXCLUSIVE;
	while (common < m && common < n && same(from->cells[common], to->cells[common]))
		common++;
	if (m > common && n > common) {
		const struct store_column *c = &t->columns[t->partition_key_count + common];
		int order = store_compare(&c->type, from->cells[common], to->cells[common]);
		if (c->descending ? order < 0 : order > 0)
			return 0;
	}
	if ((m == common && from_out) || (n == common && to_out)) /* what begins with the one prefix is out, and the other lies within it */
		return 0;
	/* behind from, within its prefixes */
	for (uint16_t i = m; i > common + 1; i--)
		put_slice(t, &ret[count++], from->cells, (uint16_t)(i - 1), i == m && !from_out ? STORE_INCLUSIVE : STORE_EXCLUSIVE,
			  from->cells[i - 1], STORE_UNBOUNDED, none);
	/* between */
	enum store_bound_kind low = m <= common ? STORE_UNBOUNDED : m == common + 1 && !from_out ? STORE_INCLUSIVE : STORE_EXCLUSIVE;
	enum store_bound_kind high = n <= common ? STORE_UNBOUNDED : n == common + 1 && !to_out ? STORE_INCLUSIVE : STORE_EXCLUSIVE;
	put_slice(t, &ret[count++], m > n ? from->cells : to->cells, common, low, m > common ? from->cells[common] : none, high,
		  n > common ? to->cells[common] : none);
	/* before to, within its prefixes */
	for (uint16_t i = (uint16_t)(common + 2); i <= n; i++)
		put_slice(t, &ret[count++], to->cells, (uint16_t)(i - 1), STORE_UNBOUNDED, none,
			  i == n && !to_out ? STORE_INCLUSIVE : STORE_EXCLUSIVE, to->cells[i - 1]);
	return count;
}

uint16_t cassandra__slice_where(const struct store_table *t, const struct cassandra_slice *s, struct arena *arena, struct buf *text,
				struct store_cell *values)
{
	const struct store_column *columns = t->columns + t->partition_key_count;
	uint16_t n = 0;
	for (uint16_t i = 0; i < s->equals; i++) {
		buf_printf(text, " AND %s = ?", cql_quote_name(columns[i].name, arena));
		values[n++] = s->prefix[i];
	}
	if (s->lower) {
		buf_printf(text, " AND %s %s ?", cql_quote_name(columns[s->equals].name, arena), s->lower == STORE_INCLUSIVE ? ">=" : ">");
		values[n++] = s->low;
	}
	if (s->upper) {
		buf_printf(text, " AND %s %s ?", cql_quote_name(columns[s->equals].name, arena), s->upper == STORE_INCLUSIVE ? "<=" : "<");
		values[n++] = s->high;
	}
	return n;
}
