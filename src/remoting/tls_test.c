/* Systems that know each other by certificates. */
#include "remoting/testing.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

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

static void extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* issuer NULL: an authority. names: what the certificate is good for, as "IP:127.0.0.1". */
static struct identity make(const char *cn, const char *names, const struct identity *issuer)
{
	static long serial = 1;
	struct identity out = {X509_new(), EVP_EC_gen("P-256")};
	X509_set_version(out.certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(out.certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(out.certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(out.certificate), 3600);
	X509_NAME *name = X509_get_subject_name(out.certificate);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(out.certificate, issuer ? X509_get_subject_name(issuer->certificate) : name);
	X509_set_pubkey(out.certificate, out.key);
	extend(out.certificate, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (names)
		extend(out.certificate, NID_subject_alt_name, names);
	assert_true(X509_sign(out.certificate, issuer ? issuer->key : out.key, EVP_sha256()) > 0);
	return out;
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

static int set_up(void **unused)
{
	snprintf(dir, sizeof dir, "/tmp/smack-remoting-XXXXXX");
	assert_non_null(mkdtemp(dir));
	struct identity ca = make("authority", NULL, NULL), other = make("other authority", NULL, NULL);
	struct identity good = make("good", "IP:127.0.0.1", &ca), stranger = make("stranger", "IP:127.0.0.1", &other),
			elsewhere = make("elsewhere", "IP:127.0.0.2", &ca);
	write_pem(&ca, "ca", NULL);
	write_pem(&good, "good", "good.key");
	write_pem(&stranger, "stranger", "stranger.key");
	write_pem(&elsewhere, "elsewhere", "elsewhere.key");
	struct identity *all[] = {&ca, &other, &good, &stranger, &elsewhere};
	for (int i = 0; i < 5; i++) {
		X509_free(all[i]->certificate);
		EVP_PKEY_free(all[i]->key);
	}
	return 0;
}
static int tear_down(void **unused)
{
	static const char *const files[] = {"ca", "good", "good.key", "stranger", "stranger.key", "elsewhere", "elsewhere.key"};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlink(in_dir(files[i]));
	rmdir(dir);
	return 0;
}

static struct node node_of(const char *name, const char *identity)
{
	char key[64];
	struct sm_remoting_options o = node_options(name);
	snprintf(key, sizeof key, "%s.key", identity);
	o.secret = NULL; /* the certificates are enough, on any address */
	o.host = "0.0.0.0";
	o.advertised_host = "127.0.0.1";
	o.certificate = in_dir(identity);
	o.key = in_dir(key);
	o.authority = in_dir("ca");
	return node_with(&o);
}

static void certificates_let_in(void **unused)
{
	static struct seen seen;
	struct node a = node_of("a", "good"), b = node_of("b", "good");
	struct sm_ref *there = spawn_seen(b.system, "one", &seen), *ref = resolve(&a, &b, "/root/one");
	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(ask_number(a.system, ref, i), i + 1);
	for (uint64_t i = 101; i <= 5000; i++)
		tell_number(ref, i);
	eventually(atomic_load(&seen.count) == 5000);
	assert_int_equal(atomic_load(&seen.out_of_order), 0);
	sm_unref(there), sm_unref(ref);
	node_end(&a), node_end(&b);
}

static void is_not_let_in(const char *dialler, const char *listener)
{
	static struct seen seen;
	struct sm_ref *ref;
	struct sm_error error;
	struct sm_remoting_info info;
	char text[200];
	struct node a = node_of("a", dialler), b = node_of("b", listener);
	struct sm_ref *there = spawn_seen(b.system, "one", &seen);
	snprintf(text, sizeof text, "%s/root/one", sm_remoting_address(b.remoting));
	assert_int_equal(sm_resolve_wait(a.remoting, text, 300, &ref, &error), SM_TIMEOUT);
	sm_remoting_info(a.remoting, &info);
	assert_int_equal(info.connected, 0);
	sm_unref(there);
	node_end(&a), node_end(&b);
}

static void a_stranger_is_not_let_in(void **unused)
{
	is_not_let_in("stranger", "good");
}
static void a_stranger_is_not_talked_to(void **unused)
{
	is_not_let_in("good", "stranger");
}
static void who_has_another_hosts_certificate_is_not_talked_to(void **unused)
{
	is_not_let_in("good", "elsewhere");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_let_in),
		cmocka_unit_test(a_stranger_is_not_let_in),
		cmocka_unit_test(a_stranger_is_not_talked_to),
		cmocka_unit_test(who_has_another_hosts_certificate_is_not_talked_to),
	};
	logging_set((enum log_level)(getenv("SMACK_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1), false);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
