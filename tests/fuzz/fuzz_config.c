/* A configuration file. */
#include "daemon/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct config config = { 0 };
	struct dhat_error err = { 0 };

	if (config_parse(text, "f", &config, &err)) {
		FUZZ_CHECK(!config.sections && !config.count && *err.message);
	} else {
		FUZZ_CHECK(config.count <= CONFIG_SECTIONS_MAX);
		for (size_t i = 0; i < config.count; i++) {
			FUZZ_CHECK(match_is_asked(&config.sections[i].options.match));
			FUZZ_CHECK(config_is_same(&config.sections[i], &config.sections[i]));
		}
	}
	config_deinit(&config);
	free(text);
	return 0;
}
