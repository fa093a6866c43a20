/* CQL text: parsed, analysed against tables of every kind, its literals taken as values and its keys made; no input may crash or hang. */
#include "cql/testing.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct testing_store store;
static struct cql_session *session;

static enum sm_err take_row(void *arg, const char *const *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (values[i] && values[i][0] == 1)
			abort(); /* read them all */
	return SM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cql_sink sink = {.row = take_row};
	struct sm_error why = {0};
	if (!session) {
		testing_store_init(&store);
		if (cql_session_new(&store.store, "k", &session))
			abort();
	}
	if (cql_session_run(session, bytes_of(data, size), &sink, &why) == SM_OK)
		return 0;
	if (!why.text[0])
		abort(); /* an error without a text */
	return 0;
}
