/* Where dhatd answers HTTP, and for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/http/access.h"
#include "proto/base/cleanup.h"

#define TOKEN "0123456789abcdef-token"

static char token_path[64];

static void write_token(const char *text, mode_t mode)
{
	FILE *file = fopen(token_path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(token_path, mode), 0);
}

static int set_up(void **state)
{
	int fd;

	strcpy(token_path, "/tmp/dhatd-token-XXXXXX");
	fd = mkstemp(token_path);
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	return unlink(token_path);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *printed; /* NULL: a path */
		bool is_loopback;
	} good[] = {
		{ "127.0.0.1:9664", "127.0.0.1:9664", true },
		{ "127.9.9.9:1", "127.9.9.9:1", true },
		{ "localhost:80", "127.0.0.1:80", true },
		{ "[::1]:9664", "[::1]:9664", true },
		{ "[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:5", true },
		{ "0.0.0.0:9664", "0.0.0.0:9664", false },
		{ ":9664", "0.0.0.0:9664", false },
		{ "[::]:0", "[::]:0", false },
		{ "10.1.2.3:65535", "10.1.2.3:65535", false },
		{ "/run/dhatd-http.sock", NULL, true },
		{ "./x", NULL, true },
		{ "unix:x", NULL, true },
	};
	static const char *const bad[] = {
		"",	  "9664",	"127.0.0.1",	   "127.0.0.1:",     "127.0.0.1:65536",
		"::1:80", "[::1]",	"[::1:80",	   "[127.0.0.1]:80", "host.example:80",
		"1.2:80", "127.1:9664", "127.0.0.1:9664x", "127.0.0.1:-1",   "localhost:+80",
		":",
	};
	char printed[HTTP_ADDRESS_CHARS];
	struct http_address address;
	struct dhat_error err;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		err = (struct dhat_error){ 0 };
		assert_int_equal(http_address_parse(good[i].text, &address, &err), 0);
		assert_int_equal(address.is_loopback, good[i].is_loopback);
		assert_int_equal(!address.path, good[i].printed != NULL);
		if (!good[i].printed)
			continue;
		http_address_print(&address.tcp, printed);
		assert_string_equal(printed, good[i].printed);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err = (struct dhat_error){ 0 };
		assert_true(http_address_parse(bad[i], &address, &err) < 0);
		assert_int_equal(err.code, DHAT_EXIT_USAGE);
		assert_non_null(strstr(err.message, "127.0.0.1:9664"));
	}
}

static void test_host_headers(void **state)
{
	static const char *const ours[] = { "127.0.0.1",      "127.0.0.1:9664", "localhost",
					    "LocalHost:8080", "[::1]",		"[::1]:9664" };
	static const char *const others[] = {
		"",
		"evil.example",
		"evil.example:9664",
		"localhost.evil.example",
		"127.0.0.1.x",
		"127.0.0.1:80.evil.x",
		"10.0.0.1",
		"[::2]:80",
		"[::1]x",
		"localhost:",
		"127.0.0.1@evil.x",
		"[::1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		assert_true(http_host_is_loopback(ours[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(http_host_is_loopback(others[i]));
	assert_false(http_host_is_loopback(NULL));
}

/* What --listen and its options come to: NULL, or a part of the refusal. */
static const char *refusal(const char *listen, const struct http_access_options *options,
			   struct http_access *ret)
{
	static struct http_address address;
	static struct dhat_error err;

	err = (struct dhat_error){ 0 };
	assert_int_equal(http_address_parse(listen, &address, &err), 0);
	if (http_access_init(ret, &address, options, &err) == 0)
		return NULL;
	assert_int_equal(err.code, DHAT_EXIT_USAGE);
	return err.message;
}

static void test_what_other_machines_reach_is_guarded(void **state)
{
	struct http_access access;
	struct http_access_options options = { 0 };

	write_token(TOKEN "\n", 0600);
	assert_null(refusal("127.0.0.1:1", &options, &access));
	assert_null(refusal("/run/x", &options, &access));
	assert_non_null(strstr(refusal("0.0.0.0:1", &options, &access), "--listen-token"));
	options.token_path = token_path;
	assert_non_null(strstr(refusal("0.0.0.0:1", &options, &access), "--listen-cert"));
	options.has_tls = true;
	assert_null(refusal("0.0.0.0:1", &options, &access));
	assert_string_equal(access.token, TOKEN);
	options = (struct http_access_options){ .has_tls = true };
	assert_non_null(strstr(refusal("[::]:1", &options, &access), "--listen-token"));
	options = (struct http_access_options){ .is_open = true };
	assert_non_null(strstr(refusal("[::]:1", &options, &access), "--listen-cert"));
	options.is_plain = true;
	assert_null(refusal("[::]:1", &options, &access));
	options.token_path = token_path;
	assert_non_null(strstr(refusal("127.0.0.1:1", &options, &access), "exclude each other"));
}

static void test_tokens(void **state)
{
	const struct http_access_options options = { .token_path = token_path };
	struct http_access access;

	write_token(TOKEN, 0644);
	assert_non_null(strstr(refusal("127.0.0.1:1", &options, &access), "chmod"));
	write_token("short\n", 0600);
	assert_non_null(strstr(refusal("127.0.0.1:1", &options, &access), "16 to 512"));
	write_token("", 0600);
	assert_non_null(strstr(refusal("127.0.0.1:1", &options, &access), "16 to 512"));
	write_token("two words are not one token\n", 0600);
	assert_non_null(strstr(refusal("127.0.0.1:1", &options, &access), "one word"));
	write_token("0123456789abcde\xc3\xa4\xc3\xa4", 0600);
	assert_non_null(strstr(refusal("127.0.0.1:1", &options, &access), "one word"));
	write_token(TOKEN " \r\n", 0640);
	assert_null(refusal("127.0.0.1:1", &options, &access));
	assert_string_equal(access.token, TOKEN);
}

static unsigned check(const char *listen, const struct http_access_options *options,
		      const struct http_claim *claim)
{
	struct http_access access;
	const char *reason = NULL;
	unsigned status;

	assert_null(refusal(listen, options, &access));
	status = http_access_check(&access, claim, &reason);
	assert_true(status == 200 || (reason && *reason));
	return status;
}

#define CLAIM(...) (&(const struct http_claim){ __VA_ARGS__ })

static void test_loopback_is_for_the_owner(void **state)
{
	const struct http_access_options nothing = { 0 }, open = { .is_open = true };
	const char *const at = "127.0.0.1:1";

	assert_int_equal(check(at, &nothing, CLAIM(.host = "localhost", .is_owner = true)), 200);
	assert_int_equal(check(at, &nothing, CLAIM(.host = "localhost")), 403);
	assert_int_equal(check(at, &nothing, CLAIM(.host = "localhost", .bearer = "")), 403);
	assert_int_equal(check(at, &open, CLAIM(.host = "localhost")), 200);
	/* DNS rebinding, whoever asks */
	assert_int_equal(check(at, &open, CLAIM(.host = "evil.example", .is_owner = true)), 403);
	assert_int_equal(check(at, &nothing, CLAIM(.host = "evil.example", .is_owner = true)), 403);
	assert_int_equal(check(at, &nothing, CLAIM(.is_owner = true)), 403);
	/* the kernel has let them in */
	assert_int_equal(check("/run/x", &nothing, CLAIM(.host = "whatever")), 200);
}

static void test_a_token_is_asked_of_everybody(void **state)
{
	const struct http_access_options options = { .token_path = token_path, .has_tls = true };
	const char *const at = "0.0.0.0:1";

	write_token(TOKEN, 0600);
	assert_int_equal(check(at, &options, CLAIM(.host = "node7", .bearer = TOKEN)), 200);
	assert_int_equal(check(at, &options, CLAIM(.host = "node7", .password = TOKEN)), 200);
	assert_int_equal(check(at, &options, CLAIM(.host = "node7", .is_owner = true)), 401);
	assert_int_equal(check(at, &options, CLAIM(.host = "node7", .bearer = "")), 401);
	assert_int_equal(check(at, &options, CLAIM(.bearer = TOKEN "x")), 401);
	assert_int_equal(check(at, &options, CLAIM(.bearer = "0123456789abcdef-toke")), 401);
	assert_int_equal(check(at, &options, CLAIM(.bearer = "0123456789abcdef-tokem")), 401);
	assert_int_equal(
		check("127.0.0.1:1", &options, CLAIM(.host = "127.0.0.1", .is_owner = true)), 401);
}

static void test_pages_of_other_sites_learn_nothing(void **state)
{
	const struct http_access_options open = { .is_open = true };
	const char *const at = "127.0.0.1:1", *const host = "127.0.0.1:9664";

	assert_int_equal(check(at, &open, CLAIM(.host = host, .fetch_site = "none")), 200);
	assert_int_equal(check(at, &open, CLAIM(.host = host, .fetch_site = "same-origin")), 200);
	assert_int_equal(check(at, &open, CLAIM(.host = host, .fetch_site = "same-site")), 403);
	assert_int_equal(check(at, &open, CLAIM(.host = host, .fetch_site = "cross-site")), 403);
	assert_int_equal(check(at, &open, CLAIM(.host = host, .origin = "http://127.0.0.1:9664")),
			 200);
	assert_int_equal(check(at, &open, CLAIM(.host = host, .origin = "http://127.0.0.1:80")),
			 403);
	assert_int_equal(check(at, &open, CLAIM(.host = host, .origin = "null")), 403);
	assert_int_equal(check("/run/x", &open, CLAIM(.host = host, .fetch_site = "cross-site")),
			 403);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_host_headers),
		cmocka_unit_test(test_what_other_machines_reach_is_guarded),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_loopback_is_for_the_owner),
		cmocka_unit_test(test_a_token_is_asked_of_everybody),
		cmocka_unit_test(test_pages_of_other_sites_learn_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
