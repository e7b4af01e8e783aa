#include "settings.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(CURLU *, curl_url_cleanup)

static const struct {
	const char *name, *path; /* path NULL: any */
} forms[PUSH_FORMS] = {
	[PUSH_PYROSCOPE] = { "pyroscope", "/ingest" },
	[PUSH_CONNECT] = { "connect", "/push.v1.PusherService/Push" },
	[PUSH_PARCA] = { "parca", "/api/profiles/writeraw" },
	[PUSH_JSONL] = { "jsonl", NULL },
};

int push_form_of_name(const char *name, enum push_form *ret)
{
	for (size_t i = PUSH_FORM_OF_URL + 1; i < PUSH_FORMS; i++)
		if (strcmp(name, forms[i].name) == 0) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

const char *push_form_name(enum push_form form)
{
	return forms[form].name;
}

/* ---- the URL ------------------------------------------------------------------------------- */

static int refuse(struct dhat_error *err, const char *url, const char *why)
{
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "--push %s: %s", url, why);
}

static char *part_of(CURLU *url, CURLUPart part)
{
	char *text = NULL, *copy;

	if (curl_url_get(url, part, &text, 0))
		return NULL;
	copy = strdup(text);
	curl_free(text);
	return copy;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* A name may begin like an address. */
static bool is_this_machine(const char *host)
{
	struct in_addr address;

	return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
	       (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* The form by the path's end; of a URL without a path the path by the form. */
static int settle_path(CURLU *url, struct push_settings *settings, struct dhat_error *err)
{
	_cleanup_free_ char *path = part_of(url, CURLUPART_PATH);
	bool has_path = path && strcmp(path, "/") != 0;

	if (settings->form == PUSH_FORM_OF_URL && !has_path)
		settings->form = PUSH_PYROSCOPE;
	for (size_t i = 0; i < PUSH_FORMS && settings->form == PUSH_FORM_OF_URL; i++)
		if (forms[i].path && ends_with(path, forms[i].path))
			settings->form = i;
	if (settings->form == PUSH_FORM_OF_URL)
		return refuse(err, settings->url,
			      "what is there? say so by --push-as " PUSH_FORM_NAMES);
	if (!has_path && forms[settings->form].path &&
	    curl_url_set(url, CURLUPART_PATH, forms[settings->form].path, 0))
		return -ENOMEM;
	return 0;
}

static int check_parts(CURLU *url, struct push_settings *settings, struct dhat_error *err)
{
	_cleanup_free_ char *user = part_of(url, CURLUPART_USER);
	_cleanup_free_ char *scheme = part_of(url, CURLUPART_SCHEME);
	_cleanup_free_ char *host = part_of(url, CURLUPART_HOST);
	_cleanup_free_ char *password = part_of(url, CURLUPART_PASSWORD);
	_cleanup_free_ char *fragment = part_of(url, CURLUPART_FRAGMENT);

	if (!scheme || !host || (strcmp(scheme, "http") && strcmp(scheme, "https")))
		return refuse(err, settings->url, "http:// or https:// is wanted");
	if (password) /* the URL is not said: a log is no place for it */
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--push: a password in the URL would be seen by every user: "
				      "give it in a file, by --push-token");
	settings->has_user = user;
	if (fragment)
		return refuse(err, settings->url, "nothing is to be behind a #");
	if (settings->token_path && strcmp(scheme, "https") && !is_this_machine(host))
		return refuse(
			err, settings->url,
			"the token of --push-token could be read on the way: give an https:// "
			"URL");
	return 0;
}

static int settle_url(struct push_settings *settings, struct dhat_error *err)
{
	_cleanup_(curl_url_cleanup_ptr) CURLU *url = curl_url();
	char *whole = NULL;
	int r;

	if (!url)
		return -ENOMEM;
	if (strlen(settings->url) > PUSH_URL_CHARS)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--push: a URL of up to %d characters is wanted",
				      PUSH_URL_CHARS);
	if (curl_url_set(url, CURLUPART_URL, settings->url, CURLU_NON_SUPPORT_SCHEME))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "--push: a URL is wanted, such as http://127.0.0.1:4040");
	r = check_parts(url, settings, err);
	if (r == 0)
		r = settle_path(url, settings, err);
	if (r == 0 && curl_url_get(url, CURLUPART_URL, &whole, 0))
		r = -ENOMEM;
	if (r)
		return r;
	free(settings->url);
	settings->url = strdup(whole);
	curl_free(whole);
	return settings->url ? 0 : -ENOMEM;
}

/* ---- settings ------------------------------------------------------------------------------ */

static bool is_any_given(const struct push_settings *settings)
{
	return settings->form || settings->token_path || settings->ca_path || settings->tenant ||
	       settings->every_ns || settings->spool_bytes;
}

static int settle(struct push_settings *settings, bool has_triggers, struct dhat_error *err)
{
	if (!settings->url && is_any_given(settings))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "where is it to be pushed? give --push URL");
	if (!settings->url)
		return 0;
	if (!settings->every_ns && !has_triggers)
		return refuse(err, settings->url,
			      "when? give --push-every, such as 1m, or a trigger by --on");
	if (!settings->spool_bytes)
		settings->spool_bytes = PUSH_SPOOL_BYTES;
	return settle_url(settings, err);
}

int push_settings_settle(struct push_settings *settings, bool has_triggers, struct dhat_error *err)
{
	int r = settle(settings, has_triggers, err);

	return r == -ENOMEM ? dhat_error_errno(err, ENOMEM, "cannot push profiles") : r;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool push_settings_is_same(const struct push_settings *a, const struct push_settings *b)
{
	return a->form == b->form && is_same_text(a->url, b->url) &&
	       is_same_text(a->tenant, b->tenant);
}

static int copy_text(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

int push_settings_copy(const struct push_settings *settings, struct push_settings *ret)
{
	int r;

	*ret = *settings;
	ret->url = ret->token_path = ret->ca_path = ret->tenant = NULL;
	r = copy_text(settings->url, &ret->url);
	if (r == 0)
		r = copy_text(settings->token_path, &ret->token_path);
	if (r == 0)
		r = copy_text(settings->ca_path, &ret->ca_path);
	if (r == 0)
		r = copy_text(settings->tenant, &ret->tenant);
	if (r)
		push_settings_deinit(ret);
	return r;
}

void push_settings_deinit(struct push_settings *settings)
{
	free(settings->url);
	free(settings->token_path);
	free(settings->ca_path);
	free(settings->tenant);
	*settings = (struct push_settings){ 0 };
}
