/* TLS connections end to end: certificates made here, a blocking client on OpenSSL. */
#include "net/testing.h"
#include "net/tls.h"
#include <fcntl.h>
#include <signal.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

/* ---- certificates ---- */

static char dir[64];
static const char *in_dir(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *out = paths[next++ % 8];
	snprintf(out, 128, "%s/%s", dir, name);
	return out;
}

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

static void add_name(X509_NAME *name, const char *field, const char *text)
{
	assert_int_equal(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0), 1);
}

static void extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* issuer NULL: signs itself. */
static struct identity make(const char *cn, const struct identity *issuer)
{
	static long serial = 1;
	struct identity out = {X509_new(), EVP_EC_gen("P-256")};
	X509_set_version(out.certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(out.certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(out.certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(out.certificate), 3600);
	X509_NAME *name = X509_get_subject_name(out.certificate);
	add_name(name, "O", "Example, Inc.");
	add_name(name, "CN", cn);
	X509_set_issuer_name(out.certificate, issuer ? X509_get_subject_name(issuer->certificate) : name);
	X509_set_pubkey(out.certificate, out.key);
	extend(out.certificate, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
	assert_true(X509_sign(out.certificate, issuer ? issuer->key : out.key, EVP_sha256()) > 0);
	return out;
}

static void identity_free(struct identity *i)
{
	X509_free(i->certificate);
	EVP_PKEY_free(i->key);
}

static void write_pem(const struct identity *i, const char *certificate, const char *key)
{
	FILE *f = fopen(in_dir(certificate), "w");
	PEM_write_X509(f, i->certificate);
	fclose(f);
	if (!key)
		return;
	f = fopen(in_dir(key), "w");
	fchmod(fileno(f), 0600);
	PEM_write_PrivateKey(f, i->key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

/* ---- the server: a protocol of lines ----
 *   frame N   the next N bytes back, as one frame
 *   big N     N bytes of 'x', a borrowed one each MiB
 *   files N   N times "<", the whole file, ">"
 *   who       the client's subject
 *   full      whether the queue is full, then resumes when it has drained
 *   end       "bye" and finish */

#define FILE_BYTES 1000000
struct state {
	size_t frame;
};
static atomic_int opened, closed, released, drained;
static int file_fd = -1;
static uint8_t file_bytes[FILE_BYTES];

static void release_one(void *arg)
{
	atomic_fetch_add(&released, 1);
	free(arg);
}

static enum sm_err on_open(struct net_conn *conn, void *state, void *arg)
{
	atomic_fetch_add(&opened, 1);
	return SM_OK;
}

static void on_close(struct net_conn *conn, void *state)
{
	atomic_fetch_add(&closed, 1);
}

static void on_drained(struct net_conn *conn, void *state)
{
	atomic_fetch_add(&drained, 1);
}

static void command(struct net_conn *conn, struct state *s, const char *line)
{
	size_t n = strcspn(line, " ");
	size_t number = line[n] ? strtoul(line + n + 1, NULL, 10) : 0;
	if (strncmp(line, "frame", n) == 0)
		s->frame = number;
	for (; strncmp(line, "big", n) == 0 && number; number -= number < 1 << 20 ? number : 1 << 20) {
		size_t size = number < 1 << 20 ? number : 1 << 20;
		char *data = malloc(size);
		memset(data, 'x', size);
		net_conn_write_ref(conn, bytes_of(data, size), release_one, data);
	}
	for (; strncmp(line, "files", n) == 0 && number; number--) {
		net_conn_write(conn, BYTES("<"));
		net_conn_write_file(conn, file_fd, 0, FILE_BYTES, release_one, NULL);
		net_conn_write(conn, BYTES(">"));
	}
	if (strcmp(line, "who") == 0) {
		net_conn_write(conn, bytes_str(net_conn_subject(conn)));
		net_conn_write(conn, BYTES("\n"));
	}
	if (strcmp(line, "end") == 0) {
		net_conn_write(conn, BYTES("bye\n"));
		net_conn_finish(conn);
	}
}

static enum sm_err on_data(struct net_conn *conn, void *state, struct bytes in, size_t *ret_used)
{
	struct state *s = state;
	size_t used = 0;
	for (;;) {
		struct bytes rest = bytes_of(in.data + used, in.size - used);
		if (s->frame) {
			if (rest.size < s->frame) {
				net_conn_need(conn, s->frame);
				break;
			}
			uint8_t *data;
			void *memory = net_conn_take(conn, bytes_of(rest.data, s->frame), &data);
			net_conn_write(conn, bytes_of(data, s->frame));
			free(memory);
			used += s->frame;
			s->frame = 0;
			continue;
		}
		const uint8_t *end = rest.size ? memchr(rest.data, '\n', rest.size) : NULL;
		char line[64];
		if (!end)
			break;
		snprintf(line, sizeof line, "%.*s", (int)(end - rest.data), (const char *)rest.data);
		used += (size_t)(end - rest.data) + 1;
		command(conn, s, line);
	}
	*ret_used = used;
	return SM_OK;
}

static const struct net_protocol protocol = {
	.name = "lines", .state_size = sizeof(struct state), .open = on_open, .data = on_data, .drained = on_drained, .close = on_close};

/* ---- fixture ---- */

struct fixture {
	struct sm_system *system;
	struct net_tls *tls;
	struct net_listener *listener;
	uint16_t port;
};
static struct identity authority, server_identity, client_identity;

static struct net_tls *tls_new(struct fixture *x, enum net_tls_clients clients)
{
	struct sm_error error;
	struct net_tls *tls;
	struct net_tls_options options = {.system = x->system,
					  .certificate = in_dir("server.pem"),
					  .key = in_dir("server.key"),
					  .client_ca = in_dir("ca.pem"),
					  .clients = clients};
	if (net_tls_new(&options, &tls, &error))
		fail_msg("%s", error.text);
	return tls;
}

static void listen_with(struct fixture *x, enum net_tls_clients clients)
{
	struct sm_error error;
	x->tls = tls_new(x, clients);
	struct net_listen_options options = {.system = x->system, .host = "127.0.0.1", .protocol = &protocol, .tls = x->tls};
	if (net_listen(&options, &x->listener, &error))
		fail_msg("%s", error.text);
	x->port = net_listener_port(x->listener);
}

static void end_listening(struct fixture *x)
{
	net_listener_free(x->listener, 1000);
	net_tls_free(x->tls);
}

static int set_up(void **state)
{
	struct fixture *x = calloc(1, sizeof *x);
	x->system = test_system(2);
	atomic_store(&opened, 0);
	atomic_store(&closed, 0);
	atomic_store(&released, 0);
	atomic_store(&drained, 0);
	listen_with(x, NET_TLS_REQUESTED);
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;
	end_listening(x);
	assert_int_equal(sm_system_stop(x->system, 5000), SM_OK);
	assert_int_equal(atomic_load(&opened), atomic_load(&closed));
	free(x);
	return 0;
}

static int make_files(void **state)
{
	strcpy(dir, "/tmp/smack-tls-XXXXXX");
	assert_non_null(mkdtemp(dir));
	authority = make("authority", NULL);
	server_identity = make("localhost", &authority);
	client_identity = make("Zo\xc3\xab", &authority);
	write_pem(&authority, "ca.pem", NULL);
	write_pem(&server_identity, "server.pem", "server.key");
	write_pem(&client_identity, "client.pem", "client.key");
	for (size_t i = 0; i < FILE_BYTES; i++)
		file_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	file_fd = open(in_dir("data"), O_RDWR | O_CREAT, 0600);
	return write(file_fd, file_bytes, FILE_BYTES) == FILE_BYTES ? 0 : -1;
}

static int remove_files(void **state)
{
	static const char *const names[] = {"ca.pem",     "server.pem", "server.key", "client.pem",
					    "client.key", "data",       "other.pem",  "other.key"};
	close(file_fd);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(in_dir(names[i]));
	identity_free(&authority);
	identity_free(&server_identity);
	identity_free(&client_identity);
	return rmdir(dir);
}

/* ---- the client ---- */

struct client {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

/* false: the handshake failed. */
static bool dial(struct client *c, uint16_t port, const char *certificate, const char *key, int version_max)
{
	c->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_load_verify_file(c->context, in_dir("ca.pem"));
	SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_min_proto_version(c->context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(c->context, version_max);
	SSL_CTX_set_security_level(c->context, 0);
	if (certificate) {
		assert_int_equal(SSL_CTX_use_certificate_file(c->context, in_dir(certificate), SSL_FILETYPE_PEM), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(c->context, in_dir(key), SSL_FILETYPE_PEM), 1);
	}
	c->ssl = SSL_new(c->context);
	c->fd = client_connect(port);
	SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
}

static void hang_up(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	close(c->fd);
}

static void put(struct client *c, const void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		int n = SSL_write(c->ssl, (const char *)data + at, (int)(size - at));
		if (n <= 0)
			fail_msg("SSL_write after %zu of %zu bytes", at, size);
		at += (size_t)n;
	}
}
static void put_str(struct client *c, const char *text)
{
	put(c, text, strlen(text));
}

static void get(struct client *c, void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		int n = SSL_read(c->ssl, (char *)data + at, (int)(size - at));
		if (n <= 0)
			fail_msg("SSL_read after %zu of %zu bytes", at, size);
		at += (size_t)n;
	}
}

static void get_line(struct client *c, char *out, size_t size)
{
	size_t n = 0;
	do
		get(c, &out[n++], 1);
	while (out[n - 1] != '\n' && n < size - 1);
	out[n - 1] = 0;
}

static bool has_ended(struct client *c)
{
	char byte;
	return SSL_read(c->ssl, &byte, 1) <= 0;
}

/* ---- tests ---- */

static void both_versions_are_spoken_and_no_older_one(void **state)
{
	struct fixture *x = *state;
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct client c;
	char line[100];
	for (int i = 0; i < 2; i++) {
		assert_true(dial(&c, x->port, NULL, NULL, versions[i]));
		assert_int_equal(SSL_version(c.ssl), versions[i]);
		put_str(&c, "who\nend\n");
		get_line(&c, line, sizeof line);
		assert_string_equal(line, "");
		get_line(&c, line, sizeof line);
		assert_string_equal(line, "bye");
		assert_true(has_ended(&c));
		assert_int_equal(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
		hang_up(&c);
	}
	assert_false(dial(&c, x->port, NULL, NULL, TLS1_1_VERSION));
	hang_up(&c);
}

static void frames_of_all_sizes_come_back(void **state)
{
	static const size_t sizes[] = {1, 100, 16384, 16385, 65536, 65537, 1000003, 9000001};
	struct fixture *x = *state;
	struct client c;
	assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		uint8_t *sent = malloc(sizes[i]), *got = malloc(sizes[i]);
		char line[40];
		for (size_t k = 0; k < sizes[i]; k++)
			sent[k] = (uint8_t)(k * 31 + i);
		snprintf(line, sizeof line, "frame %zu\n", sizes[i]);
		put_str(&c, line);
		put(&c, sent, sizes[i]);
		get(&c, got, sizes[i]);
		assert_memory_equal(sent, got, sizes[i]);
		free(sent);
		free(got);
	}
	hang_up(&c);
}

static void regions_of_files_keep_their_place(void **state)
{
	struct fixture *x = *state;
	struct client c;
	static uint8_t got[FILE_BYTES + 2];
	assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
	put_str(&c, "files 12\nend\n");
	for (int i = 0; i < 12; i++) {
		get(&c, got, sizeof got);
		assert_int_equal(got[0], '<');
		assert_int_equal(got[FILE_BYTES + 1], '>');
		assert_memory_equal(got + 1, file_bytes, FILE_BYTES);
	}
	get(&c, got, 4);
	assert_memory_equal(got, "bye\n", 4);
	assert_true(has_ended(&c));
	hang_up(&c);
	eventually(atomic_load(&released) == 12);
}

static void a_client_that_goes_away_releases_what_is_queued(void **state)
{
	struct fixture *x = *state;
	for (int i = 0; i < 20; i++) {
		struct client c;
		char byte;
		assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
		put_str(&c, "files 30\n");
		get(&c, &byte, 1);
		hang_up(&c);
		eventually(atomic_load(&released) == (i + 1) * 30);
	}
}

static void a_slow_reader_is_waited_for(void **state)
{
	struct fixture *x = *state;
	struct client c;
	size_t size = 24u << 20;
	char *got = malloc(size);
	assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
	put_str(&c, "big 25165824\n");
	nanosleep(&(struct timespec){0, 50000000}, NULL);
	get(&c, got, size);
	for (size_t i = 0; i < size; i++)
		if (got[i] != 'x')
			fail_msg("another byte at %zu", i);
	free(got);
	eventually(atomic_load(&drained) == 1);
	eventually(atomic_load(&released) == 24);
	hang_up(&c);
}

static void many_small_requests_in_one_record_are_all_answered(void **state)
{
	struct fixture *x = *state;
	struct client c;
	char line[100], all[4000] = "";
	assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
	for (int i = 0; i < 900; i++)
		strcat(all, "who\n");
	put_str(&c, all);
	for (int i = 0; i < 900; i++)
		get_line(&c, line, sizeof line);
	hang_up(&c);
}

static void who_speaks_no_tls_is_closed(void **state)
{
	struct fixture *x = *state;
	int fd = client_connect(x->port);
	client_send_str(fd, "who\nwho\nwho\nwho\nwho\nwho\nwho\nwho\n");
	char byte[100];
	while (recv(fd, byte, sizeof byte, 0) > 0) /* an alert may come first */
		;
	close(fd);
	assert_int_equal(atomic_load(&opened), 0);
}

static void a_client_is_known_by_its_certificate(void **state)
{
	struct fixture *x = *state;
	struct client c;
	char line[100];
	assert_true(dial(&c, x->port, "client.pem", "client.key", TLS1_3_VERSION));
	put_str(&c, "who\n");
	get_line(&c, line, sizeof line);
	assert_string_equal(line, "CN=Zo\xc3\xab,O=Example\\, Inc.");
	hang_up(&c);
	/* One that nobody vouches for. In TLS 1.3 the client hears of it with its first read. */
	struct identity other = make("Mallory", NULL);
	write_pem(&other, "other.pem", "other.key");
	identity_free(&other);
	if (dial(&c, x->port, "other.pem", "other.key", TLS1_3_VERSION))
		assert_true(has_ended(&c));
	hang_up(&c);
}

static void a_certificate_can_be_required(void **state)
{
	struct fixture *x = *state;
	struct client c;
	char line[100];
	end_listening(x);
	listen_with(x, NET_TLS_REQUIRED);
	assert_true(net_tls_asks_clients(x->tls));
	if (dial(&c, x->port, NULL, NULL, TLS1_3_VERSION))
		assert_true(has_ended(&c));
	hang_up(&c);
	assert_int_equal(atomic_load(&opened), 0);
	assert_true(dial(&c, x->port, "client.pem", "client.key", TLS1_2_VERSION));
	put_str(&c, "who\n");
	get_line(&c, line, sizeof line);
	assert_true(strncmp(line, "CN=Zo", 5) == 0);
	hang_up(&c);
}

static bool serves(struct fixture *x, const struct identity *identity)
{
	struct client c;
	assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
	X509 *shown = SSL_get1_peer_certificate(c.ssl);
	bool same = X509_cmp(shown, identity->certificate) == 0;
	X509_free(shown);
	hang_up(&c);
	return same;
}

static void a_new_certificate_counts_and_a_wrong_one_does_not(void **state)
{
	struct fixture *x = *state;
	struct identity renewed = make("localhost", &authority);
	assert_true(serves(x, &server_identity));
	write_pem(&renewed, "server.pem", "server.key");
	net_tls_look(x->tls);
	assert_true(serves(x, &renewed));
	write_pem(&server_identity, "server.pem", NULL); /* the key does not fit */
	net_tls_look(x->tls);
	assert_true(serves(x, &renewed));
	write_pem(&server_identity, "server.pem", "server.key");
	net_tls_look(x->tls);
	assert_true(serves(x, &server_identity));
	identity_free(&renewed);
}

static void refuse(const char *certificate, const char *key, enum sm_err want, const char *message)
{
	struct sm_error error = {0};
	struct net_tls *tls;
	struct net_tls_options options = {.certificate = in_dir(certificate), .key = in_dir(key)};
	assert_int_equal(net_tls_new(&options, &tls, &error), want);
	if (!strstr(error.text, message))
		fail_msg("want \"%s\" in \"%s\"", message, error.text);
}

static void wrong_files_are_refused_by_name(void **state)
{
	refuse("nothing.pem", "server.key", SM_NOT_FOUND, "nothing.pem");
	refuse("server.key", "server.key", SM_INVALID, "is no PEM file with a certificate");
	refuse("server.pem", "ca.pem", SM_DENIED, "chmod 600");
	chmod(in_dir("ca.pem"), 0600);
	refuse("server.pem", "ca.pem", SM_INVALID, "private key");
	refuse("server.pem", "client.key", SM_INVALID, "client.key is no PEM file with the certificate's private key");
	chmod(in_dir("ca.pem"), 0644);
}

static void a_drain_ends_connections_in_every_state(void **state)
{
	struct fixture *x = *state;
	struct client c;
	assert_true(dial(&c, x->port, NULL, NULL, TLS1_3_VERSION));
	int silent = client_connect(x->port); /* no handshake */
	eventually(atomic_load(&opened) == 1);
	uint64_t before = test_now_ms();
	end_listening(x);
	assert_true(test_now_ms() - before < 1500);
	assert_true(has_ended(&c));
	hang_up(&c);
	close(silent);
	listen_with(x, NET_TLS_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(both_versions_are_spoken_and_no_older_one),
		TEST(frames_of_all_sizes_come_back),
		TEST(regions_of_files_keep_their_place),
		TEST(a_client_that_goes_away_releases_what_is_queued),
		TEST(a_slow_reader_is_waited_for),
		TEST(many_small_requests_in_one_record_are_all_answered),
		TEST(who_speaks_no_tls_is_closed),
		TEST(a_client_is_known_by_its_certificate),
		TEST(a_certificate_can_be_required),
		TEST(a_new_certificate_counts_and_a_wrong_one_does_not),
		cmocka_unit_test(wrong_files_are_refused_by_name),
		TEST(a_drain_ends_connections_in_every_state),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
