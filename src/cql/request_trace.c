/* What tracing tells of a request: its session's parameters, and the steps that request.c takes. */
#include "base/address.h"
#include "cql/server_internal.h"

#include <stdio.h>

void request__trace_begin(struct request *r, const char *peer)
{
	static const struct {
		uint8_t opcode;
		const char *command, *request;
	} words[] = {
		{CQL_OP_QUERY, "QUERY", "Execute CQL3 query"},
		{CQL_OP_PREPARE, "QUERY", "Preparing CQL3 query"},
		{CQL_OP_EXECUTE, "QUERY", "Execute CQL3 prepared query"},
		{CQL_OP_BATCH, "QUERY", "Execute batch of CQL3 queries"},
	};
	char host[64];
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (words[i].opcode != r->header.opcode)
			continue;
		struct cql_trace *t = cql__trace_new(r->server->engine.clock, address_host(peer, host, sizeof host), r->context.local_host,
						     r->context.local_port);
		if (!t)
			return;
		t->command = words[i].command;
		t->request = words[i].request;
		r->context.trace = t;
	}
}

/* Values as CQL writes them, as far as they are few. */
static void trace_values(struct request *r, const struct cql_plan *plan)
{
	const struct cql_parameters *p = &r->parameters;
	for (uint32_t i = 0; i < plan->bind_count && i < p->value_count && i < CQL_TRACE_PARAMETERS_MAX / 2; i++) {
		char name[80];
		snprintf(name, sizeof name, "bound_var_%u_%s", i, plan->binds[i].name);
		struct store_cell v = p->values[i];
		const char *text = v.size < 0 ? "null" : cql_literal_text(plan->binds[i].type, v, &r->arena);
		cql__trace_parameter(r->context.trace, name, bytes_str(text ? text : ""));
	}
}

void request__trace_parameters(struct request *r, struct bytes text)
{
	struct cql_trace *t = r->context.trace;
	const struct cql_parameters *p = &r->parameters;
	char page[16];
	if (!t)
		return;
	if (r->prepared && r->header.opcode == CQL_OP_EXECUTE)
		trace_values(r, r->prepared->plan);
	if (r->header.opcode != CQL_OP_PREPARE)
		cql__trace_parameter(t, "consistency_level", bytes_str(cql_consistency_name(p->consistency)));
	if (p->page_size) {
		snprintf(page, sizeof page, "%u", p->page_size);
		cql__trace_parameter(t, "page_size", bytes_str(page));
	}
	if (text.size)
		cql__trace_parameter(t, "query", text);
	if (r->header.opcode != CQL_OP_PREPARE)
		cql__trace_parameter(t, "serial_consistency_level", BYTES("SERIAL"));
	if (r->header.opcode == CQL_OP_QUERY || r->header.opcode == CQL_OP_PREPARE)
		cql__trace(t, "Parsing %.*s", (int)(text.size > 1000 ? 1000 : text.size), (const char *)text.data);
}

void request__trace_select(struct request *r)
{
	const struct cql_select_plan *s = r->plan->select;
	if (!r->context.trace)
		return;
	if (s->is_virtual)
		cql__trace(r->context.trace, "Computing the rows of %s.%s", s->table->keyspace, s->table->name);
	else if (s->where.by)
		cql__trace(r->context.trace, "Executing read on %s.%s using index %s", s->table->keyspace, s->table->name,
			   s->where.by_index);
	else if (s->where.partition)
		cql__trace(r->context.trace, "Executing single-partition query on %s", s->table->name);
	else
		cql__trace(r->context.trace, "Executing seq scan across a range of tokens of %s", s->table->name);
}

void request__trace_write(struct request *r)
{
	for (uint32_t i = 0; i < r->mutations.count && i < 8 && r->context.trace; i++)
		cql__trace(r->context.trace, "Adding to %s memtable and commitlog", r->mutations.items[i].table->name);
}
