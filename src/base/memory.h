/* The memory of the process beside its budget: who takes in large things asks first, so that many of them at once slow their senders
 * down instead of ending the process. What is measured is the system's count of anonymous pages, so that all rooms and libraries are in
 * it. Source: proc(5), statm. Thread: any. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* 0: none. */
void memory_budget_set(size_t bytes);
size_t memory_budget(void);
/* Is more in use than the budget? As it was at most MEMORY_LOOK_MS ago. Cheap. */
bool memory_tight(void);
#define MEMORY_LOOK_MS 10
/* Bytes of anonymous memory in use now, and of all that is resident; 0: the system does not say. */
size_t memory_used(void);
size_t memory_resident(void);
/* What the machine has, or the least that the control groups of this process (version 1 or 2) may use. 0: the system does not say. Source:
 * cgroups(7). */
size_t memory_of_machine(void);

#endif
