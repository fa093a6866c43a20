/* What makes the target's row the source's: mutations with the write times of the source's cells.
 *
 * Cells of the same write time and end of life are one statement. Elements of a list are appended in their order, one statement for each
 * run of them with the same times; all other writes are as good twice as once. */
#include "backup/migrate_store_internal.h"
#include <stdlib.h>

static void set_times(const struct migrate_writer *w, struct store_mutation *m, int64_t timestamp_us, int64_t expiry_s)
{
	m->timestamp_us = timestamp_us;
	m->ttl_s = expiry_s ? (int32_t)(expiry_s - w->now_s) : 0;
}

static void add_cell(struct store_mutation *m, struct store_assignment cell)
{
	((struct store_assignment *)(uintptr_t)m->cells)[m->cell_count++] = cell;
}

/* ---- what differs ---- */

static void add_piece(struct migrate_writer *w, struct migrate_piece p)
{
	if (w->count == w->cap) {
		uint32_t cap = w->cap ? w->cap * 2 : 64;
		struct migrate_piece *more = realloc(w->pieces, cap * sizeof *more);
		if (!more) {
			w->no_memory = true;
			return;
		}
		w->pieces = more;
		w->cap = cap;
	}
	p.number = w->count;
	w->pieces[w->count++] = p;
}

static bool cells_equal(struct store_cell a, struct store_cell b)
{
	return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

static int64_t expiry(const struct migrate_writer *w, int32_t ttl_s)
{
	return ttl_s ? w->now_s + ttl_s : 0;
}

static void differs_simple(struct migrate_writer *w, uint16_t i)
{
	const struct store_row *s = w->source->row, *t = w->target ? w->target->row : NULL;
	bool here = s->cells[i].size >= 0, there = t && t->cells[i].size >= 0;
	bool prune = w->m->o->prune;
	if (!here && !there)
		return;
	if (here && there && cells_equal(s->cells[i], t->cells[i]) && s->timestamps_us[i] == t->timestamps_us[i] &&
	    s->ttls_s[i] == t->ttls_s[i])
		return;
	if (there && (!here || t->timestamps_us[i] > s->timestamps_us[i]) && !(prune && !here)) {
		w->why = here ? "a cell of the target is newer" : "the target has a cell that the source has not";
		return;
	}
	int64_t time = here ? s->timestamps_us[i] : t->timestamps_us[i];
	add_piece(w, (struct migrate_piece){.column = i,
					    .value = here ? s->cells[i] : (struct store_cell){NULL, -1},
					    .timestamp_us = time,
					    .expiry_s = here ? expiry(w, s->ttls_s[i]) : 0});
}

static void differs_counter(struct migrate_writer *w, uint16_t i)
{
	struct store_cell s = w->source->row->cells[i], t = w->target ? w->target->row->cells[i] : (struct store_cell){NULL, -1};
	uint8_t *difference = arena_alloc(&w->scratch, 8);
	if (s.size != 8 && t.size == 8)
		w->why = "the target has a counter that the source has not: it cannot be taken back";
	w->no_memory |= !difference;
	if (s.size != 8 || cells_equal(s, t) || !difference)
		return;
	be64_put(difference, be64_get(s.data) - (t.size == 8 ? be64_get(t.data) : 0));
	add_piece(w, (struct migrate_piece){.column = i, .how = STORE_ADD_ELEMENTS, .value = {difference, 8}});
}

static bool elements_equal(const struct store_element *a, const struct store_element *b)
{
	return cells_equal(a->value, b->value) && a->timestamp_us == b->timestamp_us && a->ttl_s == b->ttl_s;
}

/* Both are in the order of the type, so the one that is looked for is mostly the next. */
static const struct store_element *find(const struct store_elements *in, struct store_cell path, uint32_t *at)
{
	for (uint32_t n = 0; n < in->count; n++) {
		uint32_t i = (*at + n) % in->count;
		if (cells_equal(in->items[i].path, path)) {
			*at = i + 1;
			return &in->items[i];
		}
	}
	return NULL;
}

static void differs_elements(struct migrate_writer *w, uint16_t i)
{
	const struct store_elements *s = &w->source->row->elements[i], none = {0};
	const struct store_elements *t = w->target ? &w->target->row->elements[i] : &none;
	uint32_t at = 0;
	for (uint32_t k = 0; k < s->count; k++) {
		const struct store_element *e = &s->items[k], *there = find(t, e->path, &at);
		if (there && elements_equal(e, there))
			continue;
		if (there && there->timestamp_us > e->timestamp_us)
			w->why = "an element of the target is newer";
		else
			add_piece(w, (struct migrate_piece){i, STORE_ASSIGN_ELEMENT, e->path, e->value, e->timestamp_us,
							    expiry(w, e->ttl_s), 0});
	}
	at = 0;
	for (uint32_t k = 0; k < t->count; k++) {
		const struct store_element *e = &t->items[k];
		if (find(s, e->path, &at))
			continue;
		if (w->m->o->prune)
			add_piece(w, (struct migrate_piece){i, STORE_ASSIGN_ELEMENT, e->path, {NULL, -1}, e->timestamp_us, 0, 0});
		else
			w->why = "the target has an element that the source has not";
	}
}

/* ---- statements for the pieces ---- */

static int by_times(const void *a, const void *b)
{
	const struct migrate_piece *x = a, *y = b;
	if (x->timestamp_us != y->timestamp_us)
		return x->timestamp_us < y->timestamp_us ? -1 : 1;
	if (x->expiry_s != y->expiry_s)
		return x->expiry_s < y->expiry_s ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* This set of columns may be one statement: there are not too many such yet. */
static bool may_be_one(struct migrate_writer *w, const struct migrate_piece *pieces, uint32_t count, bool insert)
{
	uint64_t hash = insert ? 1 : 2;
	const uint32_t size = MIGRATE_PATTERNS_MAX * 2;
	for (uint32_t i = 0; i < count; i++)
		if (pieces[i].how == STORE_ASSIGN)
			hash = (hash ^ (pieces[i].column + 1u)) * UINT64_C(0x9e3779b97f4a7c15);
	for (uint32_t i = (uint32_t)(hash >> 40) % size;; i = (i + 1) % size) {
		if (w->t->patterns.seen[i] == hash)
			return true;
		if (w->t->patterns.seen[i])
			continue;
		if (w->t->patterns.count == MIGRATE_PATTERNS_MAX)
			return false;
		w->t->patterns.seen[i] = hash;
		w->t->patterns.count++;
		return true;
	}
}

static void assign_cells(struct migrate_writer *w, const struct migrate_piece *pieces, uint32_t count, bool insert)
{
	uint32_t cells = 0;
	for (uint32_t i = 0; i < count; i++)
		cells += pieces[i].how == STORE_ASSIGN;
	if (!cells && !insert)
		return;
	bool one = may_be_one(w, pieces, count, insert);
	struct store_mutation *m = NULL;
	if (one || insert) {
		m = migrate__batch_add(w, w->source, insert ? STORE_UPSERT_INSERT : STORE_UPSERT_UPDATE, one ? cells : 0);
		if (!m)
			return;
		set_times(w, m, pieces[0].timestamp_us, pieces[0].expiry_s);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (pieces[i].how != STORE_ASSIGN)
			continue;
		if (!one) {
			if (!(m = migrate__batch_add(w, w->source, STORE_UPSERT_UPDATE, 1)))
				return;
			set_times(w, m, pieces[0].timestamp_us, pieces[0].expiry_s);
		}
		add_cell(m, (struct store_assignment){.column = &w->table->columns[pieces[i].column],
						      .value = migrate__batch_keep(w, pieces[i].value)});
	}
}

/* Elements of a set or map that come, as one value. */
static struct store_cell collect(struct migrate_writer *w, const struct migrate_piece *pieces, uint32_t count)
{
	bool map = w->table->columns[pieces[0].column].type.id == STORE_MAP;
	struct buf out;
	buf_init(&out);
	buf_be32(&out, count);
	for (uint32_t i = 0; i < count; i++) {
		buf_be32(&out, (uint32_t)pieces[i].path.size);
		buf_append(&out, pieces[i].path.data, (size_t)pieces[i].path.size);
		if (!map)
			continue;
		buf_be32(&out, (uint32_t)pieces[i].value.size);
		buf_append(&out, pieces[i].value.data, pieces[i].value.size > 0 ? (size_t)pieces[i].value.size : 0);
	}
	w->no_memory |= out.failed;
	struct store_cell value = migrate__batch_keep(w, (struct store_cell){buf_bytes(&out).data, (int32_t)buf_size(&out)});
	buf_done(&out);
	return value;
}

static void change_elements(struct migrate_writer *w, const struct migrate_piece *pieces, uint32_t count)
{
	struct store_mutation *fields = NULL;
	for (uint32_t i = 0, n; i < count; i += n) {
		const struct migrate_piece *p = &pieces[i];
		const struct store_column *column = &w->table->columns[p->column];
		bool adds = p->how == STORE_ASSIGN_ELEMENT && p->value.size >= 0 && column->type.id != STORE_UDT;
		n = 1;
		if (p->how == STORE_ASSIGN)
			continue;
		while (adds && i + n < count && pieces[i + n].column == p->column && pieces[i + n].how == p->how &&
		       pieces[i + n].value.size >= 0)
			n++;
		struct store_mutation *m = column->type.id == STORE_UDT || column->type.id == STORE_COUNTER ? fields : NULL;
		if (!m && !(m = migrate__batch_add(w, w->source, STORE_UPSERT_UPDATE, count)))
			return;
		if (column->type.id == STORE_UDT || column->type.id == STORE_COUNTER)
			fields = m;
		set_times(w, m, p->timestamp_us, p->expiry_s);
		if (column->type.id == STORE_COUNTER)
			m->timestamp_us = w->m->begun_us;
		add_cell(m, (struct store_assignment){.column = column,
						      .how = adds ? STORE_ADD_ELEMENTS : p->how,
						      .value = adds ? collect(w, p, n) : migrate__batch_keep(w, p->value),
						      .path = adds ? (struct store_cell){NULL, -1} : migrate__batch_keep(w, p->path)});
	}
}

/* ---- lists ---- */

static void append_run(struct migrate_writer *w, uint16_t column, const struct store_element *items, uint32_t count, enum store_assign how)
{
	struct buf out;
	buf_init(&out);
	buf_be32(&out, count);
	for (uint32_t i = 0; i < count; i++) {
		buf_be32(&out, (uint32_t)items[i].value.size);
		buf_append(&out, items[i].value.data, items[i].value.size > 0 ? (size_t)items[i].value.size : 0);
	}
	w->no_memory |= out.failed;
	struct store_mutation *m = migrate__batch_add(w, w->source, STORE_UPSERT_UPDATE, 1);
	if (m) {
		set_times(w, m, items[0].timestamp_us, expiry(w, items[0].ttl_s));
		add_cell(m, (struct store_assignment){
				    .column = &w->table->columns[column],
				    .how = how,
				    .value = migrate__batch_keep(w, (struct store_cell){buf_bytes(&out).data, (int32_t)buf_size(&out)})});
	}
	buf_done(&out);
}

static void append(struct migrate_writer *w, uint16_t column, const struct store_elements *all, uint32_t from, bool anew)
{
	for (uint32_t i = from, n; i < all->count; i += n) {
		const struct store_element *first = &all->items[i];
		n = 1;
		while (i + n < all->count && first[n].timestamp_us == first->timestamp_us && first[n].ttl_s == first->ttl_s)
			n++;
		append_run(w, column, first, n, anew && i == from ? STORE_ASSIGN : STORE_ADD_ELEMENTS);
	}
}

/* One element goes, by its place, at once: later ones move up. */
static enum sm_err remove_at(struct migrate_writer *w, uint16_t column, const struct store_element *e)
{
	uint16_t keys = w->table->partition_key_count;
	const struct store_assignment cell = {
		.column = &w->table->columns[column], .how = STORE_ASSIGN_ELEMENT, .path = e->path, .value = {NULL, -1}};
	const struct store_mutation m = {.kind = STORE_UPSERT_UPDATE,
					 .table = w->table,
					 .partition_key = w->target->row->cells,
					 .clustering = !w->target->statics && w->table->clustering_count ? w->target->row->cells + keys
													 : NULL,
					 .cells = &cell,
					 .cell_count = 1,
					 .timestamp_us = e->timestamp_us};
	return store_apply_wait(w->store, &(struct store_batch){.mutations = &m, .count = 1});
}

static int64_t edge_of(const struct store_elements *all, bool newest)
{
	int64_t edge = all->items[0].timestamp_us;
	for (uint32_t i = 1; i < all->count; i++)
		if (newest ? all->items[i].timestamp_us > edge : all->items[i].timestamp_us < edge)
			edge = all->items[i].timestamp_us;
	return edge;
}

/* Elements that are not the source's next one go, from the last on; *ret_kept: so many are left, the source's first. */
static enum sm_err remove_others(struct migrate_writer *w, uint16_t column, const struct store_elements *s, const struct store_elements *t,
				 uint32_t *ret_kept)
{
	bool *stays = arena_alloc(&w->scratch, t->count * sizeof *stays);
	uint32_t kept = 0;
	enum sm_err err = stays ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; i < t->count && !err; i++) {
		stays[i] = kept < s->count && elements_equal(&t->items[i], &s->items[kept]);
		kept += stays[i];
	}
	for (uint32_t i = t->count; i-- > 0 && !err;)
		if (!stays[i])
			err = remove_at(w, column, &t->items[i]);
	*ret_kept = kept;
	return err;
}

static void differs_list(struct migrate_writer *w, uint16_t i)
{
	const struct store_elements *s = &w->source->row->elements[i], none = {0};
	const struct store_elements *t = w->target ? &w->target->row->elements[i] : &none;
	uint32_t same = 0;
	while (same < s->count && same < t->count && elements_equal(&s->items[same], &t->items[same]))
		same++;
	if (same == t->count) {
		append(w, i, s, same, false);
	} else if (!s->count && !w->m->o->prune) {
		w->why = "the target has a list that the source has not";
	} else if (s->count && edge_of(t, true) > edge_of(s, true)) {
		w->why = "a list's element at the target is newer";
	} else if (s->count && edge_of(t, true) < edge_of(s, false)) {
		append(w, i, s, 0, true);
	} else {
		enum sm_err err = remove_others(w, i, s, t, &same);
		migrate__batch_failed(w, err, w->target->row->token);
		w->rows++; /* something was written, whatever else is */
		if (!err)
			append(w, i, s, same, false);
	}
}

/* ---- items ---- */

static void differs(struct migrate_writer *w)
{
	enum store_column_kind kind = w->source->statics ? STORE_STATIC : STORE_REGULAR;
	for (uint16_t i = 0; i < w->table->column_count; i++) {
		const struct store_column *c = &w->table->columns[i];
		if (c->kind != kind)
			continue;
		if (c->type.id == STORE_COUNTER)
			differs_counter(w, i);
		else if (!store_type_multi_cell(&c->type))
			differs_simple(w, i);
		else if (c->type.id == STORE_LIST)
			differs_list(w, i);
		else
			differs_elements(w, i);
	}
}

/* The marker's times: those of the oldest cell, and of the one that lives longest. */
static void marker_times(const struct migrate_writer *w, int64_t *ret_us, int64_t *ret_expiry_s)
{
	const struct store_row *r = w->source->row;
	int64_t oldest = INT64_MAX, longest = -1;
	for (uint16_t i = 0; i < w->table->column_count; i++) {
		const struct store_column *c = &w->table->columns[i];
		bool many = store_type_multi_cell(&c->type);
		uint32_t count = c->kind != STORE_REGULAR ? 0 : many ? r->elements[i].count : r->cells[i].size >= 0;
		for (uint32_t k = 0; k < count; k++) {
			int64_t us = many ? r->elements[i].items[k].timestamp_us : r->timestamps_us[i];
			int32_t ttl = many ? r->elements[i].items[k].ttl_s : r->ttls_s[i];
			oldest = us < oldest ? us : oldest;
			longest = !ttl || !longest ? 0 : ttl > longest ? ttl : longest;
		}
	}
	if (oldest == INT64_MAX) {
		oldest = w->m->begun_us;
		longest = w->table->default_ttl_s;
	}
	*ret_us = oldest;
	*ret_expiry_s = longest > 0 ? w->now_s + longest : 0;
}

static void write_pieces(struct migrate_writer *w, bool marker)
{
	int64_t us = 0, expiry_s = 0;
	if (marker)
		marker_times(w, &us, &expiry_s);
	if (w->count)
		qsort(w->pieces, w->count, sizeof *w->pieces, by_times);
	for (uint32_t i = 0, n; i < w->count; i += n) {
		const struct migrate_piece *first = &w->pieces[i];
		n = 1;
		while (i + n < w->count && first[n].timestamp_us == first->timestamp_us && first[n].expiry_s == first->expiry_s)
			n++;
		bool insert = marker && first->timestamp_us == us && first->expiry_s == expiry_s;
		marker &= !insert;
		assign_cells(w, first, n, insert);
		change_elements(w, first, n);
	}
	struct store_mutation *m = marker ? migrate__batch_add(w, w->source, STORE_UPSERT_INSERT, 0) : NULL;
	if (m)
		set_times(w, m, us, expiry_s);
}

static enum sm_err end_item(struct migrate_writer *w, uint32_t before, struct sm_error *reterr)
{
	w->rows += w->batch && w->batch->count > before;
	if (w->no_memory)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (w->batch && w->batch->bytes > MIGRATE_ROW_BYTES)
		migrate__batch_flush(w);
	enum sm_err err = atomic_load(&w->err);
	return err ? migrate__write_error(w, err, reterr) : SM_OK;
}

enum sm_err migrate__write(struct migrate_writer *w, const struct migrate_walk *source, const struct migrate_walk *target,
			   const char **ret_why, struct sm_error *reterr)
{
	const struct store_table *t = w->table;
	if (w->batch && w->batch->count && source->bytes.end - source->bytes.start > MIGRATE_ROW_BYTES)
		migrate__batch_flush(w); /* its statements are written one by one, not the others' */
	if (!migrate__batch_item(w, source))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	uint32_t before = w->batch->count;
	w->source = source;
	w->target = target;
	differs(w);
	bool counters = t->regular_count + t->static_count &&
			t->columns[t->partition_key_count + t->clustering_count].type.id == STORE_COUNTER;
	write_pieces(w, !source->statics && !target && !counters);
	*ret_why = w->why;
	return end_item(w, before, reterr);
}

enum sm_err migrate__remove(struct migrate_writer *w, const struct migrate_walk *target, struct sm_error *reterr)
{
	const struct store_table *t = w->table;
	int64_t newest = INT64_MIN;
	if (!migrate__batch_item(w, target))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	uint32_t before = w->batch->count, cells = 0;
	for (uint16_t i = 0; i < t->column_count; i++) {
		const struct store_elements *e = &target->row->elements[i];
		if (t->columns[i].kind != (target->statics ? STORE_STATIC : STORE_REGULAR))
			continue;
		int64_t us = store_type_multi_cell(&t->columns[i].type) ? e->count ? edge_of(e, true) : INT64_MIN
									: target->row->timestamps_us[i];
		cells++;
		newest = us > newest ? us : newest;
	}
	if (newest == INT64_MIN)
		newest = w->m->begun_us;
	struct store_mutation *m = migrate__batch_add(w, target, target->statics ? STORE_DELETE_CELLS : STORE_DELETE_ROW, cells);
	for (uint16_t i = 0; m && target->statics && i < t->column_count; i++)
		if (t->columns[i].kind == STORE_STATIC)
			add_cell(m, (struct store_assignment){.column = &t->columns[i], .value = {NULL, -1}});
	if (m)
		m->timestamp_us = newest;
	return end_item(w, before, reterr);
}
