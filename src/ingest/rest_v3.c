/* What producers of version 3 ask for besides (https://docs.confluent.io/platform/current/kafka-rest/api.html#cluster-v3): which cluster
 * this is, which topics it has and how many partitions. What else version 3 has is refused by its name.
 *
 * Links lead to where the original has its resources, also to those that are refused. */
#include "ingest/ingest_internal.h"
#include <stdio.h>
#include <string.h>

#define KAFKA_V3 "/v3/clusters/"

static const char *cluster_of(const struct http_request *request)
{
	return ((const struct ingest *)request->arg)->options.cluster_id;
}

bool ingest__is_cluster(struct http_request *request)
{
	if (bytes_equal(request->params[0], bytes_str(cluster_of(request))))
		return true;
	char why[256];
	struct bytes name = request->params[0];
	snprintf(why, sizeof why, "Cluster %.*s cannot be found. This one is %s.", (int)(name.size < 100 ? name.size : 100),
		 (const char *)name.data, cluster_of(request));
	ingest__refuse_v3(request, 404, 404, why);
	return false;
}

/* ---- resources ---- */

struct page {
	struct buf out;
	struct buf base; /* "http://host:port/v3/clusters/ID", as JSON has it within a string */
};

static void begin(struct page *page, const struct http_request *request)
{
	struct buf url;
	buf_init(&page->out);
	buf_init(&page->base);
	buf_init(&url);
	struct bytes host = http_header(request, "host");
	buf_printf(&url, "%s://%.*s" KAFKA_V3 "%s", net_conn_secure(request->conn) ? "https" : "http", (int)host.size,
		   (const char *)host.data, cluster_of(request));
	buf_json_string(&page->base, buf_bytes(&url));
	page->out.failed |= url.failed || page->base.failed;
	buf_done(&url);
}

static void end(struct page *page, struct http_request *request)
{
	http_reply(request, page->out.failed ? 503 : 200, INGEST_V3_TYPE, buf_bytes(&page->out));
	buf_done(&page->out);
	buf_done(&page->base);
}

/* "NAME":"BASE/PATH", without the quotes of the base. */
static void put_url(struct page *page, const char *name, const char *path, const char *topic)
{
	struct bytes base = buf_bytes(&page->base);
	buf_printf(&page->out, "\"%s\":%.*s%s%s%s\"", name, (int)(base.size ? base.size - 1 : 0), (const char *)base.data,
		   topic ? "/topics/" : "", topic ? topic : "", path);
}

static void put_related(struct page *page, const char *name, const char *path, const char *topic)
{
	buf_printf(&page->out, ",\"%s\":{", name);
	put_url(page, "related", path, topic);
	buf_append_str(&page->out, "}");
}

static void put_cluster(struct page *page, const char *id)
{
	static const char *const links[][2] = {{"acls", "/acls"},
					       {"brokers", "/brokers"},
					       {"broker_configs", "/broker-configs"},
					       {"consumer_groups", "/consumer-groups"},
					       {"topics", "/topics"},
					       {"partition_reassignments", "/topics/-/partitions/-/reassignment"}};
	buf_append_str(&page->out, "{\"kind\":\"KafkaCluster\",\"metadata\":{");
	put_url(page, "self", "", NULL);
	buf_printf(&page->out, ",\"resource_name\":\"crn:///kafka=%s\"},\"cluster_id\":\"%s\"", id, id);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		put_related(page, links[i][0], links[i][1], NULL);
	buf_append_str(&page->out, "}");
}

static void put_topic(struct page *page, const struct log_topic *topic, const char *id)
{
	/* A topic's name has no character that JSON or a URL escapes. */
	buf_append_str(&page->out, "{\"kind\":\"KafkaTopic\",\"metadata\":{");
	put_url(page, "self", "", topic->name);
	buf_printf(&page->out,
		   ",\"resource_name\":\"crn:///kafka=%s/topic=%s\"},\"cluster_id\":\"%s\",\"topic_name\":\"%s\",\"is_internal\":%s,"
		   "\"replication_factor\":%d,\"partitions_count\":%d",
		   id, topic->name, id, topic->name, topic->internal ? "true" : "false", topic->replication_factor, topic->partitions);
	put_related(page, "partitions", "/partitions", topic->name);
	put_related(page, "configs", "/configs", topic->name);
	put_related(page, "partition_reassignments", "/partitions/-/reassignments", topic->name);
	buf_append_str(&page->out, "}");
}

void ingest__clusters(struct http_request *request)
{
	struct page page;
	begin(&page, request);
	struct bytes base = buf_bytes(&page.base);
	size_t tail = strlen(cluster_of(request)) + 2; /* with the slash before and the quote behind it */
	buf_printf(&page.out, "{\"kind\":\"KafkaClusterList\",\"metadata\":{\"self\":%.*s\",\"next\":null},\"data\":[",
		   (int)(base.size > tail ? base.size - tail : 0), (const char *)base.data);
	put_cluster(&page, cluster_of(request));
	buf_append_str(&page.out, "]}");
	end(&page, request);
}

void ingest__cluster(struct http_request *request)
{
	struct page page;
	if (!ingest__is_cluster(request))
		return;
	begin(&page, request);
	put_cluster(&page, cluster_of(request));
	end(&page, request);
}

/* As in /ingest: of what may not be written to nothing is told. */
static bool may_see(const struct http_request *request, const char *topic)
{
	const struct ingest_options *o = &((const struct ingest *)request->arg)->options;
	const char *principal = http_principal(request);
	return !principal || !o->may || o->may(o->arg, principal, http_peer_host(request), bytes_str(topic));
}

/* ?page_size=N: topics that are looked at for one answer. false: it is no such number, and that is told. */
static bool page_size(struct http_request *request, uint32_t *ret)
{
	struct bytes asked = http_query(request, "page_size");
	*ret = asked.data ? 0 : PRODUCE_TOPICS_MAX;
	for (size_t i = 0; asked.data && i < asked.size && *ret <= PRODUCE_TOPICS_MAX; i++)
		*ret = asked.data[i] >= '0' && asked.data[i] <= '9' ? *ret * 10 + (asked.data[i] - '0') : PRODUCE_TOPICS_MAX + 1;
	if (*ret && *ret <= PRODUCE_TOPICS_MAX)
		return true;
	char why[64];
	snprintf(why, sizeof why, "page_size is a number from 1 to %u", PRODUCE_TOPICS_MAX);
	ingest__refuse_v3(request, 400, 400, why);
	return false;
}

/* The first that comes after the last of the page before (?page_token=NAME). */
static uint32_t page_start(struct http_request *request, const struct log_topics *topics)
{
	struct bytes after = http_query(request, "page_token");
	uint32_t low = 0, high = topics->count;
	while (after.size && low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (strcmp(topics->items[middle].name, (const char *)after.data) <= 0) /* a zero byte follows it */
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A page without topics may have a next one: none of those that it stands for may be seen. */
static void put_next(struct page *page, uint32_t size, const char *last)
{
	char more[300];
	if (!last) {
		buf_append_str(&page->out, ",\"next\":null");
		return;
	}
	snprintf(more, sizeof more, "/topics?page_size=%u&page_token=%s", size, last);
	buf_append_str(&page->out, ",");
	put_url(page, "next", more, NULL);
}

void ingest__topics_v3(struct http_request *request)
{
	struct sm_log *log = ((struct ingest *)request->arg)->options.log;
	struct page page;
	uint32_t size;
	if (!ingest__is_cluster(request) || !page_size(request, &size))
		return;
	const struct log_topics *topics = log->ops->topics(log);
	if (!topics) {
		ingest__refuse_v3(request, 503, 50003, "the topics are not known now: ask again");
		return;
	}
	uint32_t first = page_start(request, topics);
	uint32_t past = topics->count - first > size ? first + size : topics->count;
	begin(&page, request);
	buf_append_str(&page.out, "{\"kind\":\"KafkaTopicList\",\"metadata\":{");
	put_url(&page, "self", "/topics", NULL);
	put_next(&page, size, past < topics->count ? topics->items[past - 1].name : NULL);
	buf_append_str(&page.out, "},\"data\":[");
	bool more = false;
	for (uint32_t i = first; i < past; i++) {
		if (!may_see(request, topics->items[i].name))
			continue;
		buf_append_str(&page.out, more ? "," : "");
		put_topic(&page, &topics->items[i], cluster_of(request));
		more = true;
	}
	buf_append_str(&page.out, "]}");
	log->ops->topics_release(log, topics);
	end(&page, request);
}

void ingest__topic_v3(struct http_request *request)
{
	struct sm_log *log = ((struct ingest *)request->arg)->options.log;
	struct page page;
	char name[250];
	struct bytes asked = request->params[1];
	if (!ingest__is_cluster(request))
		return;
	bool named = asked.size < sizeof name && !memchr(asked.data, 0, asked.size);
	snprintf(name, sizeof name, "%.*s", named ? (int)asked.size : 0, (const char *)asked.data);
	if (!may_see(request, name)) {
		ingest__refuse_v3(request, 403, 40301, "you may not write to this topic");
		return;
	}
	const struct log_topics *topics = named ? log->ops->topics(log) : NULL;
	const struct log_topic *topic = topics ? log_topics_find(topics, name) : NULL;
	if (topic) {
		begin(&page, request);
		put_topic(&page, topic, cluster_of(request));
		end(&page, request);
	} else {
		ingest__refuse_v3(request, 404, 40403, "This server does not host this topic-partition.");
	}
	if (topics)
		log->ops->topics_release(log, topics);
}

/* ---- what is not here ---- */

/* The original's resources and where else to get what they do. */
static const char *const elsewhere[][2] = {
	{"records:batch", "send the records one behind the other to .../records"},
	{"acls", "rules are set over Kafka's protocol"},
	{"brokers", "there is one broker; ask over Kafka's protocol"},
	{"broker-configs", "configs are set over Kafka's protocol"},
	{"consumer-groups", "groups are told of over Kafka's protocol"},
	{"configs", "configs of topics are set over Kafka's protocol"},
	{"configs:alter", "configs of topics are set over Kafka's protocol"},
	{"partitions", "partitions are told of over Kafka's protocol, and their number with the topic"},
	{"default-configs", "configs of topics are set over Kafka's protocol"},
	{"topics", "topics are made and deleted over Kafka's protocol, or by smack topic"},
	{"links", "there is one cluster"},
	{"clusters", "there is one cluster, and nothing to change of it"},
};

void ingest__not_v3(struct http_request *request)
{
	char why[200];
	struct bytes path = request->params[0], part = {0};
	const char *const *what = NULL;
	/* Every other part is the name of a thing, not of a kind of things; the last kind says most. */
	for (uint32_t i = 0; path.size; i++) {
		const uint8_t *slash = memchr(path.data, '/', path.size);
		size_t size = slash ? (size_t)(slash - path.data) : path.size;
		part = bytes_of(path.data, size);
		for (size_t k = 0; i % 2 == 0 && k < sizeof elsewhere / sizeof *elsewhere; k++)
			if (bytes_equal(part, bytes_str(elsewhere[k][0])))
				what = elsewhere[k];
		size += slash != NULL;
		path = bytes_of(path.data + size, path.size - size);
	}
	if (bytes_equal(part, BYTES("records")) && what && strcmp(what[0], "topics") == 0) {
		http_reply_header(request, "Allow", "POST");
		ingest__refuse_v3(request, 405, 405, "HTTP 405 Method Not Allowed");
	} else if (what) {
		snprintf(why, sizeof why, "\"%s\" of version 3 is not here: %s", what[0], what[1]);
		ingest__refuse_v3(request, 501, 501, why);
	} else {
		ingest__refuse_v3(request, 404, 404, "HTTP 404 Not Found");
	}
}
