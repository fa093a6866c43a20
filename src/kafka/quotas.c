/* DescribeClientQuotas: there are none, which tools that describe users want to hear. Setting one is not advertised. */
#include "kafka/kafka_internal.h"

void kafka__describe_client_quotas(struct kafka_request *r)
{
	kafka__finish(r);
}
