/* What a stranger says of itself: the Host, Origin and Authorization of a request, separated by
 * zeros; the first is taken for an address to listen at, too. */
#include "daemon/http/access.h"
#include "fuzz.h"

#define TOKEN "0123456789abcdef"

static void check_address(const char *text)
{
	struct http_address address, again;
	char printed[HTTP_ADDRESS_CHARS];

	if (http_address_parse(text, &address, NULL) < 0 || address.path)
		return;
	http_address_print(&address.tcp, printed);
	FUZZ_CHECK(http_address_parse(printed, &again, NULL) == 0);
	FUZZ_CHECK(again.is_loopback == address.is_loopback);
	/* who listens there is asked for by that name */
	FUZZ_CHECK(http_host_is_loopback(printed) == address.is_loopback);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const listens[] = { "127.0.0.1:9664", "0.0.0.0:9664" };
	const char *words[3];
	char *text = malloc(size + 3), *next = text;

	memcpy(text, data, size);
	memset(text + size, 0, 3);
	for (size_t i = 0; i < 3; i++) {
		words[i] = next;
		next += strlen(next) + (next < text + size + 2);
	}
	check_address(words[0]);
	for (size_t i = 0; i < 2; i++) {
		struct http_address address;
		struct http_access access = { .address = &address, .token = TOKEN };
		const struct http_claim claim = {
			.host = words[0],
			.origin = *words[1] ? words[1] : NULL,
			.bearer = words[2],
		};
		const char *reason = NULL;
		unsigned status;

		FUZZ_CHECK(http_address_parse(listens[i], &address, NULL) == 0);
		status = http_access_check(&access, &claim, &reason);
		FUZZ_CHECK(status == 200 || reason);
		FUZZ_CHECK(status != 200 || strcmp(words[2], TOKEN) == 0);
		FUZZ_CHECK(status != 200 || !address.is_loopback ||
			   http_host_is_loopback(words[0]));
	}
	free(text);
	return 0;
}
