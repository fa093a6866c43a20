/* Between authorize.c, which looks at requests, and authorize_reply.c, which looks at replies. */
#ifndef KAFKA_AUTHORIZE_INTERNAL_H
#define KAFKA_AUTHORIZE_INTERNAL_H

#include "kafka/kafka_internal.h"

/* May the request's principal do it? Thread: the connection's dispatcher. */
bool kafka__may(struct kafka_request *request, enum auth_acl_word operation, enum auth_acl_word resource, struct bytes name);
bool kafka__may_cluster(struct kafka_request *request, enum auth_acl_word operation);
bool kafka__may_somewhere(struct kafka_request *request, enum auth_acl_word operation, enum auth_acl_word resource);

/* A request that these tables know by its number: they say who may ask before apis.def has it. */
enum { API_OFFSET_DELETE = 47 };

/* Kafka's text for such an error. */
const char *kafka__denied_text(int16_t error);

/* What an element of a list is called: itself if it is a string, else its member for that. NULL: it has none. */
struct bytes *kafka__name_in(const struct kafka_field *list, void *item);
struct uuid *kafka__id_in(const struct kafka_field *list, void *item);

/* What was taken out of a list of the request, at the end of the list's memory, and where it belongs in the reply. */
struct kafka_denial {
	struct kafka_denial *next;
	const struct kafka_field *asked; /* the request's list */
	uint8_t *items;
	int32_t count;
	int16_t *errors;
	const struct kafka_layout *reply_layout;
	void *(*reply)(struct kafka_request *r, int32_t index); /* the structure that holds the reply's list */
	int32_t index;
	const char *list;
	bool alone; /* nothing was left, and nothing would mean all */
};

#endif
