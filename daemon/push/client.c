#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/base/cleanup.h"
#include "proto/base/secret.h"
#include "request.h"

#define SECOND_NS 1000000000ull
#define QUOTED_CHARS 120 /* of an answer */

struct push_client {
	const struct push_settings *settings;
	const atomic_bool *stop;
	CURL *curl;
	char error[CURL_ERROR_SIZE];

	/* of the request at hand */
	bool may_not; /* have a socket of the kind that its address wants */
	const struct request *request;
	size_t head_bytes, answer_bytes;
	char answer[QUOTED_CHARS + 1]; /* its begin */
	size_t answer_used;
};

enum push_outcome push_outcome_of(long status)
{
	if (status >= 200 && status < 300)
		return PUSH_TAKEN;
	switch (status) {
	case 400: /* no profile to it */
	case 413: /* too large */
	case 415:
		return PUSH_REFUSED;
	case 422:
		return PUSH_DOUBTED;
	case 408: /* it was too slow */
	case 425:
	case 429: /* there are too many */
		return PUSH_LATER;
	default:
		return status >= 300 && status < 500 ? PUSH_BARRED : PUSH_LATER;
	}
}

/* ---- what libcurl asks --------------------------------------------------------------------- */

static size_t on_head(char *data, size_t size, size_t count, void *client_)
{
	struct push_client *client = client_;

	client->head_bytes += size * count;
	return client->head_bytes > PUSH_ANSWER_BYTES ? 0 : size * count;
}

static size_t on_answer(char *data, size_t size, size_t count, void *client_)
{
	struct push_client *client = client_;
	size_t bytes = size * count, room = QUOTED_CHARS - client->answer_used;

	client->answer_bytes += bytes;
	if (room > bytes)
		room = bytes;
	memcpy(client->answer + client->answer_used, data, room);
	client->answer_used += room;
	return client->answer_bytes > PUSH_ANSWER_BYTES ? 0 : bytes;
}

/* A connection that was kept may have ended: it begins again. */
static int on_seek(void *client_, curl_off_t offset, int origin)
{
	const struct push_client *client = client_;

	if (origin != SEEK_SET ||
	    fseek(client->request->body, client->request->begin + (long)offset, SEEK_SET))
		return CURL_SEEKFUNC_FAIL;
	return CURL_SEEKFUNC_OK;
}

static int on_progress(void *client_, curl_off_t unused, curl_off_t unused_too,
		       curl_off_t sent_total, curl_off_t sent)
{
	const struct push_client *client = client_;

	return atomic_load(client->stop);
}

/* Not for the programs that dhatd starts. */
static curl_socket_t on_socket(void *client, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	((struct push_client *)client)->may_not |= fd < 0 && errno == EAFNOSUPPORT;
	return fd;
}

/* ---- begin and end ------------------------------------------------------------------------- */

/* That they are known to libcurl is sure: it is linked. */
static void set_options(struct push_client *client)
{
	const struct push_settings *settings = client->settings;
	CURL *curl = client->curl;

	curl_easy_setopt(curl, CURLOPT_URL, settings->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* waits for no name server at the end */
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "dhatd/" DHAT_VERSION);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, PUSH_CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, PUSH_SECONDS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, PUSH_IDLE_SECONDS);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, client);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
	curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(curl, CURLOPT_SEEKDATA, client);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, client);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, client);
	if (settings->ca_path)
		curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca_path);
	/* in clear it stays on this machine, whatever http_proxy says */
	if (settings->token_path && strncmp(settings->url, "http:", 5) == 0)
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

int push_client_new(const struct push_settings *settings, const atomic_bool *stop,
		    struct push_client **ret)
{
	struct push_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->settings = settings;
	client->stop = stop;
	client->curl = curl_easy_init();
	if (!client->curl) {
		free(client);
		return -ENOMEM;
	}
	set_options(client);
	*ret = client;
	return 0;
}

void push_client_free(struct push_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	free(client);
}

/* ---- one request --------------------------------------------------------------------------- */

static int append(struct curl_slist **list, const char *name, const char *value)
{
	_cleanup_free_ char *line = NULL;
	struct curl_slist *grown;

	if (asprintf(&line, "%s: %s", name, value) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	grown = curl_slist_append(*list, line);
	explicit_bzero(line, strlen(line));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	return 0;
}

static void free_headers(struct curl_slist *list)
{
	for (const struct curl_slist *line = list; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(list);
}

/* The password of the user that the URL has, or a bearer's token. */
static int add_token(struct push_client *client, struct curl_slist **list, struct dhat_error *err)
{
	char value[PUSH_TOKEN_CHARS + 16] = "Bearer ", *token = value + strlen(value);
	int r;

	if (!client->settings->token_path)
		return 0;
	r = secret_read(client->settings->token_path, 1, PUSH_TOKEN_CHARS, token, err);
	if (r == 0 && client->settings->has_user)
		curl_easy_setopt(client->curl, CURLOPT_PASSWORD, token);
	else if (r == 0)
		r = append(list, "Authorization", value);
	explicit_bzero(value, sizeof(value));
	return r;
}

static int add_headers(struct push_client *client, struct curl_slist **list, struct dhat_error *err)
{
	const struct push_settings *settings = client->settings;
	int r = append(list, "Content-Type", client->request->type);

	if (r == 0)
		r = append(list, "Expect", ""); /* or a large one would wait for a second */
	if (r == 0 && settings->form == PUSH_CONNECT)
		r = append(list, "Connect-Protocol-Version", "1");
	if (r == 0 && settings->tenant)
		r = append(list, "X-Scope-OrgID", settings->tenant);
	return r ? r : add_token(client, list, err);
}

static int set_url(struct push_client *client)
{
	const char *url = client->settings->url, *query = client->request->query;
	_cleanup_free_ char *whole = NULL;

	if (asprintf(&whole, "%s%s%s", url,
		     !*query		? ""
		     : strchr(url, '?') ? "&"
					: "?",
		     query) < 0) {
		whole = NULL;
		return -ENOMEM;
	}
	return curl_easy_setopt(client->curl, CURLOPT_URL, whole) ? -ENOMEM : 0;
}

/* "503 (upstream is away)" */
static void describe_status(struct push_client *client, long status, struct push_answer *ret)
{
	size_t length;

	client->answer[client->answer_used] = '\0';
	length = strcspn(client->answer, "\r\n");
	snprintf(ret->text, sizeof(ret->text), "it answers %ld%s%.*s%s", status, length ? " (" : "",
		 (int)length, client->answer, length ? ")" : "");
}

static bool is_certificate(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
	       code == CURLE_SSL_CERTPROBLEM;
}

/* A status counts though the rest of the answer was not worth waiting for. */
static void judge(struct push_client *client, CURLcode code, struct push_answer *ret)
{
	curl_off_t seconds = 0;
	long status = 0;

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code && client->may_not) {
		ret->outcome = PUSH_BARRED;
		snprintf(ret->text, sizeof(ret->text),
			 "dhatd may not make a socket for its address; if dhatd.service forbids it "
			 "(RestrictAddressFamilies=), share/dhatd/systemd/push.conf allows it");
		return;
	}
	if (code &&
	    (code != CURLE_WRITE_ERROR || !status || client->head_bytes > PUSH_ANSWER_BYTES)) {
		ret->outcome = is_certificate(code) ? PUSH_BARRED : PUSH_LATER;
		snprintf(ret->text, sizeof(ret->text), "%s",
			 *client->error ? client->error : curl_easy_strerror(code));
		return;
	}
	ret->outcome = push_outcome_of(status);
	if (ret->outcome == PUSH_TAKEN)
		return;
	describe_status(client, status, ret);
	if (curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK &&
	    seconds > 0)
		ret->retry_after_ns = (uint64_t)seconds < PUSH_RETRY_AFTER_NS / SECOND_NS
					      ? (uint64_t)seconds * SECOND_NS
					      : PUSH_RETRY_AFTER_NS;
}

static int perform(struct push_client *client, struct push_answer *ret, struct dhat_error *err)
{
	struct curl_slist *headers = NULL;
	int r = add_headers(client, &headers, err);

	if (r == 0)
		r = set_url(client);
	if (r == 0) {
		curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(client->curl, CURLOPT_READDATA, client->request->body);
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)client->request->size);
		judge(client, curl_easy_perform(client->curl), ret);
		curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
	}
	free_headers(headers);
	return r;
}

void push_client_send(struct push_client *client, const char *path, struct push_answer *ret)
{
	struct request request = { 0 };
	struct dhat_error err = { 0 };
	int r = request_open(path, &request);

	if (r == -EINVAL || r == -ENOENT) { /* others wait behind it */
		*ret = (struct push_answer){ .outcome = r == -EINVAL ? PUSH_REFUSED : PUSH_GONE };
		snprintf(ret->text, sizeof(ret->text), "%s %s", path,
			 r == -EINVAL ? "is not what was written" : "is gone");
		return;
	}
	*ret = (struct push_answer){ .outcome = PUSH_BARRED };
	client->request = &request;
	client->head_bytes = client->answer_bytes = client->answer_used = 0;
	*client->error = '\0';
	client->may_not = false;
	if (r == 0)
		r = perform(client, ret, &err);
	if (r)
		snprintf(ret->text, sizeof(ret->text), "%.*s", (int)sizeof(ret->text) - 1,
			 *err.message ? err.message : strerror(-r));
	client->request = NULL;
	if (request.body)
		fclose(request.body);
}
