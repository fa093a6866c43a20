#include "cli/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void config_takes_defaults(void **state)
{
	struct config c;
	config_init(&c);
	assert_int_equal(c.http_port, 8080);
	assert_int_equal(c.kafka_port, 9092);
	assert_int_equal(c.cql_port, 9042);
	assert_int_equal(c.segment_bytes, 128 << 20);
	assert_int_equal(c.batch_interval_ms, 10000);
	config_done(&c);
}

static void config_reads_units_sections_and_names(void **state)
{
	struct config c;
	struct sm_error error;
	config_init(&c);
	assert_int_equal(
		config_read_text(&c, "x.conf",
				 "# comment\nhttp.port = 0\n[log]\nsegment = 64MiB\nretention=2h\n[topic raw.events]\npartitions = 6\n"
				 "schema = \"schema.json\"\n[stream daily]\nsql = daily.sql\ninterval = 500ms\n",
				 &error),
		SM_OK);
	assert_int_equal(c.http_port, 0);
	assert_int_equal(c.segment_bytes, 64 << 20);
	assert_int_equal(c.retention_ms, 7200000);
	assert_int_equal(c.topic_count, 1);
	assert_string_equal(c.topics[0].name, "raw.events");
	assert_int_equal(c.topics[0].partitions, 6);
	assert_string_equal(c.topics[0].schema, "schema.json");
	assert_int_equal(c.streams[0].interval_ms, 500);
	assert_int_equal(config_set(&c, "topic.raw.events.partitions=7", &error), SM_OK);
	assert_int_equal(c.topics[0].partitions, 7);
	assert_int_equal(c.topic_count, 1);
	assert_int_equal(config_set(&c, "log.segment=32MiB", &error), SM_OK);
	assert_int_equal(c.segment_bytes, 32 << 20);
	assert_int_equal(config_check(&c, &error), SM_OK);
	config_done(&c);
}

static void expect(const char *text, const char *message)
{
	struct config c;
	struct sm_error error = {0};
	config_init(&c);
	enum sm_err err = config_read_text(&c, "x.conf", text, &error);
	if (!err)
		err = config_check(&c, &error);
	assert_int_not_equal(err, SM_OK);
	if (!strstr(error.text, message))
		fail_msg("want \"%s\" in \"%s\"", message, error.text);
	config_done(&c);
}

static void config_names_the_line_of_what_is_wrong(void **state)
{
	expect("http.port = 1\nnope = 2\n", "x.conf:2: unknown key 'nope'");
	expect("\n\n[log]\nsegment = 12parsecs\n", "x.conf:4: '12parsecs' is no size");
	expect("http.port = 70000\n", "x.conf:1: '70000' is no port");
	expect("[topic a]\nshema = x\n", "x.conf:2: unknown key 'shema'; known: partitions, schema");
	expect("just words\n", "x.conf:1: this is neither");
	expect("data = a ; b\n", "x.conf:1: ' ;' would cut");
	expect("listen = 0.0.0.0\n", "loopback only");
	expect("kafka.advertise = broker\n", "give HOST:PORT");
	expect("kafka.sasl = GSSAPI\n", "configuration: kafka.sasl: 'GSSAPI' is no SASL mechanism");
	expect("kafka.sasl = PLAIN\n", "needs security.users = FILE");
	expect("[listener x]\naddress = 0.0.0.0\n", "[listener x]: address = 0.0.0.0: beyond loopback it must ask for credentials");
	expect("security.users = u\n[listener x]\naddress = 0.0.0.0\nsasl = PLAIN\n", "PLAIN would send passwords readable");
	expect("[listener x]\nsasl = SCRAM-SHA-512\n", "[listener x]: sasl = SCRAM-SHA-512 needs security.users");
	expect("[listener x]\nsasl = NTLM\n", "[listener x]: sasl: 'NTLM' is no SASL mechanism");
	expect("[listener x]\nadvertise = y\n", "[listener x]: advertise = y: give HOST:PORT");
	expect("kafka.tls = maybe\n", "configuration: kafka.tls = maybe: must be yes or no");
	expect("kafka.tls = yes\n", "needs security.certificate = FILE");
	expect("[listener x]\nclient_auth = required\n", "[listener x]: client_auth = required needs tls = yes");
	expect("security.certificate = c\nsecurity.key = k\n[listener x]\ntls = yes\nclient_auth = required\n", "needs security.client_ca");
	expect("security.certificate = c\nsecurity.key = k\n[listener x]\ntls = yes\naddress = ::\n", "must ask for credentials");
	expect("[listener x]\nprotocol = http\n", "[listener x]: a listener for HTTP must ask for credentials");
	expect("[listener x]\nprotocol = http\nauthenticator = PasswordAuthenticator\n", "needs security.users = FILE");
	expect("security.users = u\n[listener x]\nprotocol = http\nauthenticator = PasswordAuthenticator\naddress = 0.0.0.0\n",
	       "[listener x]: address = 0.0.0.0: passwords would be readable on the network");
	expect("[listener x]\nprotocol = http\nsasl = PLAIN\n", "[listener x]: sasl = PLAIN: not for HTTP");
	expect("[listener x]\nprotocol = gopher\n", "protocol = gopher: must be kafka, cql or http");
	expect("security.acls = maybe\n", "security.acls = maybe: must be yes or no");
	expect("log = zookeeper://x:1\n", "configuration: log = zookeeper://x:1: embedded, or kafka://HOST:PORT");
	expect("log = kafka://broker\n", "configuration: log: 'broker' in kafka://broker: write kafka://HOST:PORT");
	expect("log = kafka://b:1?acks=0\n", "log: unknown setting 'acks' of a kafka:// address; known: security.protocol");
	expect("log = kafka://b:1\n[listener x]\nport = 1\n",
	       "a section [listener NAME] for Kafka's clients has no meaning with log = kafka://");
	expect("log = kafka://b:1\nlog.durability = interval\n", "log.durability has no meaning with log = kafka://");
	expect("[log]\nsasl.username = u\n", "are for log = kafka://");
	expect("store = redis://x:1\n", "configuration: store = redis://x:1: embedded, or cassandra://HOST:PORT");
	expect("store = cassandra://c:x\n", "configuration: store: 'c:x' in cassandra://c:x: write cassandra://HOST:PORT");
	expect("store = cassandra://c?tls=yes\n", "store: unknown setting 'tls' of a cassandra:// address; known: user");
	expect("store = cassandra://c\ncql.tls = yes\nsecurity.certificate = c\nsecurity.key = k\n",
	       "cql.tls has no meaning with store = cassandra://");
	expect("[store]\nconsistency = ONE\n", "are for store = cassandra://");
	expect("[job a]\nsql = x\n", "schedule is missing");
	expect("[stream a]\ndedup = id\n", "sql = FILE is missing");
	expect("[stream a]\nsql = a.sql\nholes = skip\n", "give stop or pass");
	expect("[job a]\ncommand = true\nholes = pass\nschedule = R/2026-01-01T00:00:00Z/PT1H\n", "give stop or, with sql, pass");
	char line[400];
	memset(line, 'a', sizeof line - 1);
	line[sizeof line - 1] = 0;
	memcpy(line, "data = ", 7);
	expect(line, "x.conf:1: the line is longer");
}

static void units_are_bounded(void **state)
{
	uint64_t n;
	assert_int_equal(size_parse("99999999999999999999", &n), SM_OUT_OF_RANGE);
	assert_int_equal(size_parse("9999999999 TiB", &n), SM_OUT_OF_RANGE);
	assert_int_equal(size_parse("-1", &n), SM_INVALID);
	assert_int_equal(size_parse("", &n), SM_INVALID);
	assert_int_equal(time_parse("10s", &n), SM_OK);
	assert_int_equal(n, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_takes_defaults),
		cmocka_unit_test(config_reads_units_sections_and_names),
		cmocka_unit_test(config_names_the_line_of_what_is_wrong),
		cmocka_unit_test(units_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
