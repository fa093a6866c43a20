#include "kafka/kafka_internal.h"

int16_t kafka__error_of(enum sm_err err)
{
	switch (err) {
	case SM_OK: return KAFKA_NONE;
	case SM_INVALID:
	case SM_SYNTAX:
	case SM_TYPE: return KAFKA_INVALID_REQUEST;
	case SM_NOT_FOUND: return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	case SM_EXISTS: return KAFKA_TOPIC_ALREADY_EXISTS;
	case SM_UNSUPPORTED: return KAFKA_UNSUPPORTED_VERSION;
	case SM_VERSION: return KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT;
	case SM_TOO_LARGE: return KAFKA_MESSAGE_TOO_LARGE;
	case SM_OUT_OF_RANGE: return KAFKA_OFFSET_OUT_OF_RANGE;
	case SM_CORRUPT:
	case SM_TRUNCATED: return KAFKA_CORRUPT_MESSAGE;
	/* Clients retry these two. */
	case SM_FULL:
	case SM_AGAIN:
	case SM_TIMEOUT: return KAFKA_REQUEST_TIMED_OUT;
	case SM_CLOSED:
	case SM_GONE:
	case SM_CANCELLED: return KAFKA_NOT_LEADER_OR_FOLLOWER;
	case SM_IO:
	case SM_NO_SPACE:
	case SM_NO_FILES: return KAFKA_KAFKA_STORAGE_ERROR;
	case SM_STALE_EPOCH: return KAFKA_INVALID_PRODUCER_EPOCH;
	case SM_SEQUENCE_GAP: return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
	case SM_DUPLICATE: return KAFKA_DUPLICATE_SEQUENCE_NUMBER;
	case SM_UNKNOWN_PRODUCER: return KAFKA_UNKNOWN_PRODUCER_ID;
	default: return KAFKA_UNKNOWN_SERVER_ERROR;
	}
}

const char *kafka__error_name(int16_t code)
{
	switch (code) {
#define X(name, number) \
	case number:    \
		return #name;
#include "kafka/errors.def"
#undef X
	default: return "?";
	}
}
