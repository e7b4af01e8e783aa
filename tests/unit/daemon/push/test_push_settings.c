/* Where to push: what is taken, filled in, and refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/push/settings.h"

static int settle(struct push_settings *settings, const char *url, struct dhat_error *err)
{
	settings->url = strdup(url);
	return push_settings_settle(settings, false, err);
}

static void test_forms_by_url(void **state)
{
	static const struct {
		const char *url, *whole;
		enum push_form form;
	} cases[] = {
		{ "http://127.0.0.1:4040", "http://127.0.0.1:4040/ingest", PUSH_PYROSCOPE },
		{ "https://h/", "https://h/ingest", PUSH_PYROSCOPE },
		{ "https://h/a/ingest", "https://h/a/ingest", PUSH_PYROSCOPE },
		{ "http://h:1/push.v1.PusherService/Push", "http://h:1/push.v1.PusherService/Push",
		  PUSH_CONNECT },
		{ "http://h/api/profiles/writeraw", "http://h/api/profiles/writeraw", PUSH_PARCA },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct push_settings settings = { .every_ns = 1 };
		struct dhat_error err = { 0 };

		assert_int_equal(settle(&settings, cases[i].url, &err), 0);
		assert_string_equal(settings.url, cases[i].whole);
		assert_int_equal(settings.form, cases[i].form);
		assert_int_equal(settings.spool_bytes, PUSH_SPOOL_BYTES);
		assert_int_equal(push_settings_settle(&settings, false, &err), 0); /* again */
		assert_string_equal(settings.url, cases[i].whole);
		push_settings_deinit(&settings);
	}
}

static void test_path_by_form(void **state)
{
	struct push_settings settings = { .every_ns = 1 };
	struct dhat_error err = { 0 };

	assert_int_equal(push_form_of_name("parca", &settings.form), 0);
	assert_int_equal(settle(&settings, "http://h:7070", &err), 0);
	assert_string_equal(settings.url, "http://h:7070/api/profiles/writeraw");
	push_settings_deinit(&settings);
	assert_int_equal(push_form_of_name("grpc", &settings.form), -EINVAL);
}

static void refused(struct push_settings settings, const char *url, const char *why)
{
	struct dhat_error err = { 0 };

	assert_int_equal(settle(&settings, url, &err), -EINVAL);
	assert_int_equal(err.code, DHAT_EXIT_USAGE);
	if (!strstr(err.message, why))
		fail_msg("%s: %s", url, err.message);
	assert_null(strstr(err.message, "secret"));
	free(settings.url);
}

static void test_refusals(void **state)
{
	const struct push_settings often = { .every_ns = 1 };
	char token[] = "/run/token", endless[3000] = "http://h/ingest?";

	refused(often, "ftp://h/ingest", "http:// or https://");
	refused(often, "file:///etc/passwd", "http:// or https://");
	refused(often, "127.0.0.1 4040", "a URL is wanted");
	refused(often, "https://me:secret@h/ingest", "--push-token");
	refused(often, "https://me:secret@h h/ingest", "a URL is wanted");
	memset(endless + strlen(endless), 'a', sizeof(endless) - strlen(endless) - 1);
	refused(often, endless, "up to 2048 characters");
	refused(often, "https://h/elsewhere", "--push-as");
	refused(often, "https://h/ingest#a", "#");
	refused((struct push_settings){ 0 }, "https://h", "--push-every");
	refused((struct push_settings){ .every_ns = 1, .token_path = token }, "http://h/ingest",
		"could be read on the way");
	refused((struct push_settings){ .every_ns = 1, .token_path = token },
		"http://127.0.0.1.example.org/ingest", "could be read on the way");
}

static void test_token_stays_here(void **state)
{
	static const char *const urls[] = { "http://localhost:1", "http://127.0.0.1:1",
					    "http://[::1]:1", "https://h", "https://me@h" };

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		struct push_settings settings = { .every_ns = 1, .token_path = strdup("/t") };
		struct dhat_error err = { 0 };

		assert_int_equal(settle(&settings, urls[i], &err), 0);
		assert_int_equal(settings.has_user, i == 4);
		push_settings_deinit(&settings);
	}
}

static void test_nothing_without_url(void **state)
{
	struct push_settings none = { 0 }, some = { .every_ns = 1 };
	struct dhat_error err = { 0 };

	assert_int_equal(push_settings_settle(&none, false, &err), 0);
	assert_int_equal(push_settings_settle(&some, true, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--push URL"));
}

/* A trigger is reason enough; a token or a bound makes no other destination, a tenant does. */
static void test_identity(void **state)
{
	struct push_settings a = { 0 }, b = { 0 };
	struct dhat_error err = { 0 };

	a.url = strdup("http://h");
	assert_int_equal(push_settings_settle(&a, true, &err), 0);
	assert_int_equal(push_settings_copy(&a, &b), 0);
	b.ca_path = strdup("/ca");
	b.spool_bytes = 1;
	assert_true(push_settings_is_same(&a, &b));
	b.tenant = strdup("x");
	assert_false(push_settings_is_same(&a, &b));
	push_settings_deinit(&a);
	push_settings_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms_by_url),
		cmocka_unit_test(test_path_by_form),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_token_stays_here),
		cmocka_unit_test(test_nothing_without_url),
		cmocka_unit_test(test_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
