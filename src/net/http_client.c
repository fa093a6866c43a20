/* The blocking client: one libcurl handle, whose connection is kept between requests. */
#include "net/http.h"
#include "net/tls.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct http_client {
	CURL *curl;
	char pin[NET_TLS_PIN_MAX];
};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global;

static void init_curl(void)
{
	global = curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum sm_err http_client_new(struct http_client **ret_client)
{
	pthread_once(&once, init_curl);
	struct http_client *client = calloc(1, sizeof *client);
	if (client && !global)
		client->curl = curl_easy_init();
	if (!client || !client->curl) {
		free(client);
		return SM_NO_MEMORY;
	}
	*ret_client = client;
	return SM_OK;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	free(client);
}

void http_client_pin(struct http_client *client, const char *pin)
{
	snprintf(client->pin, sizeof client->pin, "%s", pin);
}

void http_response_done(struct http_response *response)
{
	buf_done(&response->body);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_response *response = arg;
	if (buf_size(&response->body) + size * count > HTTP_RESPONSE_MAX)
		return 0;
	buf_append(&response->body, data, size * count);
	return response->body.failed ? 0 : size * count;
}

static void set_request(CURL *curl, const char *method, const char *url, struct curl_slist *headers, struct bytes body, uint32_t timeout_ms,
			struct http_response *response, char *text)
{
	bool has_body = body.size || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	/* Nobody's proxy stands between two processes of one machine, and a redirect would leave it. */
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, response);
	if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
		return;
	}
	if (has_body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.size ? (const char *)body.data : "");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static void take_response(CURL *curl, struct http_response *response)
{
	long status = 0;
	char *type = NULL;
	curl_off_t retry = 0;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry);
	response->status = (int)status;
	response->retry_after_s = (uint32_t)retry;
	size_t size = type ? strlen(type) : 0;
	if (size >= sizeof response->content_type)
		size = 0;
	if (size)
		memcpy(response->content_type, type, size);
	response->content_type[size] = 0;
}

enum sm_err http_client_do(struct http_client *client, const char *method, const char *url, const char *const *headers, struct bytes body,
			   uint32_t timeout_ms, struct http_response *ret_response, struct sm_error *reterr)
{
	CURL *curl = client->curl;
	char text[CURL_ERROR_SIZE] = "";
	struct http_response response = {0};
	/* A large body would wait a second for a 100 that our own server sends at once, and others never. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	for (size_t i = 0; list && headers && headers[i]; i++) {
		struct curl_slist *longer = curl_slist_append(list, headers[i]);
		if (!longer)
			curl_slist_free_all(list);
		list = longer;
	}
	if (!list)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a request to %s", url);
	curl_easy_reset(curl);
	set_request(curl, method, url, list, body, timeout_ms, &response, text);
	if (*client->pin) {
		curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, client->pin);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	CURLcode rc = curl_easy_perform(curl);
	if (rc == CURLE_OK)
		take_response(curl, &response);
	curl_slist_free_all(list);
	if (rc == CURLE_OK) {
		*ret_response = response;
		return SM_OK;
	}
	http_response_done(&response);
	const char *why = text[0] ? text : curl_easy_strerror(rc);
	switch (rc) {
	case CURLE_OPERATION_TIMEDOUT: return sm_fail(reterr, SM_TIMEOUT, "%s %s: no answer in %u ms", method, url, timeout_ms);
	case CURLE_OUT_OF_MEMORY: return sm_fail(reterr, SM_NO_MEMORY, "%s %s: out of memory", method, url);
	case CURLE_WRITE_ERROR:
		return sm_fail(reterr, SM_TOO_LARGE, "%s %s: the answer is larger than %u bytes", method, url, HTTP_RESPONSE_MAX);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL: return sm_fail(reterr, SM_INVALID, "%s is not an http:// or https:// address: %s", url, why);
	default: return sm_fail(reterr, SM_UNAVAILABLE, "%s %s: %s", method, url, why);
	}
}
