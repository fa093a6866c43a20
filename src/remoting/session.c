/* System messages, each delivered once and in order while both systems live, however often the connection between them breaks. */
#include "remoting/frame.h"
#include <stdlib.h>

struct kept {
	struct kept *next;
	uint64_t sequence;
	size_t size;
	uint8_t data[];
};

void session_init(struct session *s, uint32_t max)
{
	*s = (struct session){.next = 1, .max = max};
}

static void drop_first(struct session *s)
{
	struct kept *k = s->first;
	if (!(s->first = k->next))
		s->last = NULL;
	s->count--;
	s->bytes -= k->size;
	free(k);
}

void session_done(struct session *s)
{
	while (s->first)
		drop_first(s);
}

static void put(const struct kept *k, struct buf *out)
{
	size_t begun = frame_begin(out, FRAME_SYSTEM);
	buf_be64(out, k->sequence);
	buf_append(out, k->data, k->size);
	frame_end(out, begun);
}

enum sm_err session_send(struct session *s, struct bytes system, struct buf *out)
{
	if (s->count >= s->max || s->bytes + system.size > REMOTING_UNACKED_BYTES)
		return SM_FULL;
	struct kept *k = malloc(sizeof *k + system.size);
	if (!k)
		return SM_NO_MEMORY;
	*k = (struct kept){.sequence = s->next++, .size = system.size};
	memcpy(k->data, system.data, system.size);
	if (s->last)
		s->last->next = k;
	else
		s->first = k;
	s->last = k;
	s->count++;
	s->bytes += system.size;
	if (out)
		put(k, out);
	return SM_OK;
}

void session_resend(const struct session *s, struct buf *out)
{
	for (const struct kept *k = s->first; k; k = k->next)
		put(k, out);
}

enum sm_err session_receive(struct session *s, uint64_t sequence)
{
	if (sequence <= s->received)
		return SM_DUPLICATE;
	if (sequence != s->received + 1)
		return SM_SEQUENCE_GAP;
	s->received = sequence;
	return SM_OK;
}

enum sm_err session_acknowledged(struct session *s, uint64_t sequence)
{
	if (sequence >= s->next)
		return SM_OUT_OF_RANGE;
	if (sequence > s->acked)
		s->acked = sequence;
	while (s->first && s->first->sequence <= s->acked)
		drop_first(s);
	return SM_OK;
}
