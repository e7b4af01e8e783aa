#pragma once
/* surveyor: makes a survey of a file. Runs in the worker. */
#include "survey.h"

/* fd stays the caller's; the caller frees *ret with survey_free(). A file that lacks what customs
 * name in it is no error of the survey: see customs_error. */
int survey_make(int fd, const struct survey_question *question, struct survey **ret,
		struct dhat_error *err);
