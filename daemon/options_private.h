#pragma once
/* options_private: what the options of the command line (options.c) and those in a file
 * (option_keys.c) have in common.
 */
#include <argp.h>

#include "options.h"

extern const struct argp dhatd_match_argp; /* which processes; input: struct dhatd_options */

/* At ARGP_KEY_INIT: each child of state's parser gets the part of options that it fills. */
void dhatd_options_give_inputs(struct argp_state *state, struct dhatd_options *options);
