/* A set of 64-bit numbers, hashes say. It never fails: without memory it may have any number, and says so of all. */
#ifndef BASE_NUMBER_SET_H
#define BASE_NUMBER_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is an empty one. 0 and 1 are one number in it. */
struct number_set {
	uint64_t *slots; /* 0: empty */
	size_t count, cap;
	bool any; /* memory was out */
};
#define NUMBER_SET_KEPT 65536 /* slots that a cleared set keeps at most */

void number_set_clear(struct number_set *set);
void number_set_done(struct number_set *set);
/* true: it was not there. */
bool number_set_add(struct number_set *set, uint64_t number);
bool number_set_has(const struct number_set *set, uint64_t number);

#endif
