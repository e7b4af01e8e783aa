#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int watch_add_trigger(struct watch_settings *settings, const struct trigger *trigger)
{
	struct trigger *grown;

	if (settings->trigger_count == WATCH_TRIGGERS_MAX)
		return -E2BIG;
	grown = reallocarray(settings->triggers, settings->trigger_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[settings->trigger_count++] = *trigger;
	settings->triggers = grown;
	return 0;
}

int watch_settle(struct watch_settings *settings, struct dhat_error *err)
{
	return push_settings_settle(&settings->push, settings->trigger_count, err);
}

int watch_copy(const struct watch_settings *settings, struct watch_settings *ret)
{
	*ret = *settings;
	ret->triggers = NULL;
	ret->trigger_count = 0;
	ret->push = (struct push_settings){ 0 };
	ret->command = settings->command ? strdup(settings->command) : NULL;
	if (settings->command && !ret->command)
		return -ENOMEM;
	if (push_settings_copy(&settings->push, &ret->push)) {
		watch_deinit(ret);
		return -ENOMEM;
	}
	for (size_t i = 0; i < settings->trigger_count; i++)
		if (watch_add_trigger(ret, &settings->triggers[i])) {
			watch_deinit(ret);
			return -ENOMEM;
		}
	return 0;
}

void watch_deinit(struct watch_settings *settings)
{
	free(settings->triggers);
	free(settings->command);
	push_settings_deinit(&settings->push);
	*settings = (struct watch_settings){ 0 };
}
