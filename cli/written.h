#pragma once
/* written: a profile that is put into a file: what the file is called, and what is said of it. */
#include "command.h"
#include "proto/export/export.h"
#include "proto/profile/filter.h"
#include "proto/profile/snapshot.h"

/* dhat_save(), which may take seconds: with progress.h. */
int written_save(const struct dhat_snapshot *snapshot, const char *path,
		 const struct dhat_exporter *exporter, const struct dhat_export_options *options,
		 struct dhat_error *err);

/* filter: what was left out of it is said, too. Nothing when path is "-": the profile itself is on
 * the standard output then. */
int written_report(const struct common *common, unsigned trim_rules, const char *path,
		   const struct dhat_snapshot *snapshot, const struct dhat_filter *filter,
		   struct dhat_error *err);

/* Where no name was given: "service-1234-20261129-113355.dhat", which is one word, begins no
 * option, and is no file yet. The caller frees; NULL: out of memory. */
char *written_name(const struct dhat_snapshot *snapshot, const struct dhat_exporter *exporter);
