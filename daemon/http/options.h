#pragma once
/* options: of dhatd's command line, where and for whom it answers by HTTP. */
#include <argp.h>

#include "server.h"

/* input: struct http_server_options, zeroed at first; listen stays NULL where nothing was asked
 * for. Strings point into argv. */
extern const struct argp http_argp;
