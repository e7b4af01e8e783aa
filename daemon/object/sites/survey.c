#include "survey.h"

#include <stdlib.h>

void survey_free(struct survey *survey)
{
	if (!survey)
		return;
	object_desc_deinit(&survey->desc);
	sites_deinit(&survey->allocators);
	sites_deinit(&survey->mappers);
	sites_deinit(&survey->customs);
	sites_deinit(&survey->candidates);
	free(survey);
}

const struct site *survey_candidate(const struct survey *survey, size_t entry,
				    enum conduct_role role, bool awaits)
{
	size_t i = entry * SURVEY_CANDIDATES + (awaits ? CONDUCT_ROLES : role);

	return i < survey->candidates.count ? &survey->candidates.list[i] : NULL;
}
