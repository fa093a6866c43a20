/* Host names of quotas are looked up at once, and for no longer than the bound. */
#include "kafka/quota.h"
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LONG_MS 600000

static pthread_barrier_t all_here;
static sem_t go, gone;
static atomic_int asked;

static bool when_all_are_here(struct bytes name, char out[46])
{
	atomic_fetch_add(&asked, 1);
	pthread_barrier_wait(&all_here);
	snprintf(out, 46, "10.0.0.%.*s", (int)name.size, (const char *)name.data);
	return !bytes_equal(name, BYTES("3"));
}

static bool when_told(struct bytes name, char out[46])
{
	sem_wait(&go);
	strcpy(out, "10.0.0.1");
	sem_post(&gone);
	return true;
}

static void names_are_looked_up_at_once(void **state)
{
	struct quota_name names[2 * KAFKA_QUOTA_RESOLVERS] = {0};
	char texts[2 * KAFKA_QUOTA_RESOLVERS][4];
	pthread_barrier_init(&all_here, NULL, KAFKA_QUOTA_RESOLVERS); /* one after the other would never end */
	for (int i = 0; i < 2 * KAFKA_QUOTA_RESOLVERS; i++) {
		snprintf(texts[i], sizeof texts[i], "%d", i);
		names[i].name = bytes_str(texts[i]);
	}
	assert_int_equal(quota_names__resolve(names, 2 * KAFKA_QUOTA_RESOLVERS, when_all_are_here, LONG_MS), SM_OK);
	assert_int_equal(atomic_load(&asked), 2 * KAFKA_QUOTA_RESOLVERS);
	for (int i = 0; i < 2 * KAFKA_QUOTA_RESOLVERS; i++) {
		char want[46] = "";
		if (i != 3)
			snprintf(want, sizeof want, "10.0.0.%d", i);
		assert_int_equal(names[i].state, i == 3 ? QUOTA_NAME_UNKNOWN : QUOTA_NAME_FOUND);
		assert_string_equal(names[i].address, want);
	}
}

static void a_resolver_without_an_answer_is_not_waited_for(void **state)
{
	struct quota_name name = {.name = BYTES("slow")};
	sem_init(&go, 0, 0);
	sem_init(&gone, 0, 0);
	assert_int_equal(quota_names__resolve(&name, 1, when_told, 20), SM_OK);
	assert_int_equal(name.state, QUOTA_NAME_LATE);
	assert_string_equal(name.address, "");
	/* The answer that comes after all finds nobody and harms nothing. */
	sem_post(&go);
	sem_wait(&gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_looked_up_at_once),
		cmocka_unit_test(a_resolver_without_an_answer_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
