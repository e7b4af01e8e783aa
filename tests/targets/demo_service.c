/* demo_service: a small session and page server with a leak, and its load generator. For make demo.
 *
 * demo_service serve SOCKET            until SIGTERM
 * demo_service load SOCKET SECONDS     prints how many requests were answered rightly
 *
 * LOGIN user -> OK token      PAGE token number -> PAGE text      LOGOUT token -> OK
 * The leak: logging out takes a session from the table, but the journal still points to it, and the
 * journal is never cut.
 * build: -pthread -fno-optimize-sibling-calls
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define TABLE_SIZE 1024
#define CACHED_PAGES 300
#define PAGES_A_VISIT 6
#define VISITORS 4
#define LINE_BYTES 512

/* ---- sessions: the leak ------------------------------------------------------------------------
 */

struct session {
	unsigned long token;
	char *user;
	char preferences[400];
	struct session *next;
};

struct journal_entry {
	struct session *session;
	struct journal_entry *before;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct session *table[TABLE_SIZE];
static struct journal_entry *journal;
static unsigned long last_token;

NOINLINE static struct session *load_session(const char *user)
{
	struct session *session = calloc(1, sizeof(*session));

	session->user = strdup(user);
	session->token = ++last_token;
	return session;
}

NOINLINE static unsigned long login(const char *user)
{
	struct session *session;

	pthread_mutex_lock(&lock);
	session = load_session(user);
	session->next = table[session->token % TABLE_SIZE];
	table[session->token % TABLE_SIZE] = session;
	pthread_mutex_unlock(&lock);
	return session->token;
}

NOINLINE static void write_journal(struct session *session)
{
	struct journal_entry *entry = malloc(sizeof(*entry));

	entry->session = session; /* a copy of the name would do */
	entry->before = journal;
	journal = entry;
}

NOINLINE static void logout(unsigned long token)
{
	struct session **at;

	pthread_mutex_lock(&lock);
	at = &table[token % TABLE_SIZE];
	while (*at && (*at)->token != token)
		at = &(*at)->next;
	if (*at) {
		write_journal(*at);
		*at = (*at)->next;
	}
	pthread_mutex_unlock(&lock);
}

/* ---- pages: healthy, with a cache that keeps its size ------------------------------------------
 */

static char *page_cache[CACHED_PAGES];

NOINLINE static char *render_page(unsigned long number)
{
	char *text = malloc(200);

	memset(text, 'a' + number % 26, 199);
	text[199] = 0;
	return text;
}

NOINLINE static void cached_page(unsigned long number, char *answer)
{
	char **slot = &page_cache[number % CACHED_PAGES];

	pthread_mutex_lock(&lock);
	free(*slot); /* every page has changed since */
	*slot = render_page(number);
	snprintf(answer, LINE_BYTES, "PAGE %s", *slot);
	pthread_mutex_unlock(&lock);
}

/* ---- lines over a socket -----------------------------------------------------------------------
 */

struct wire {
	int fd;
	FILE *in;
};

static int wire_open(struct wire *wire, int fd)
{
	wire->fd = fd;
	wire->in = fdopen(fd, "r");
	return wire->in ? 0 : -errno;
}

static int wire_get(struct wire *wire, char *line)
{
	if (!fgets(line, LINE_BYTES, wire->in))
		return -1;
	line[strcspn(line, "\n")] = 0;
	return 0;
}

static int wire_put(struct wire *wire, const char *text)
{
	char line[LINE_BYTES + 1];
	int size = snprintf(line, sizeof(line), "%s\n", text);

	return send(wire->fd, line, size, MSG_NOSIGNAL) == size ? 0 : -1;
}

/* ---- the server --------------------------------------------------------------------------------
 */

struct request {
	char verb[16];
	char user[64];
	unsigned long token, number;
};

NOINLINE static struct request *parse_request(const char *line)
{
	struct request *request = calloc(1, sizeof(*request));

	if (sscanf(line, "LOGIN %63s", request->user) == 1)
		strcpy(request->verb, "LOGIN");
	else
		sscanf(line, "%15s %lu %lu", request->verb, &request->token, &request->number);
	return request;
}

NOINLINE static void handle_request(const char *line, char *answer)
{
	struct request *request = parse_request(line);

	strcpy(answer, "OK");
	if (strcmp(request->verb, "LOGIN") == 0)
		snprintf(answer, LINE_BYTES, "OK %lu", login(request->user));
	else if (strcmp(request->verb, "LOGOUT") == 0)
		logout(request->token);
	else if (strcmp(request->verb, "PAGE") == 0)
		cached_page(request->number, answer);
	free(request);
}

static void *serve_connection(void *fd)
{
	char line[LINE_BYTES], answer[LINE_BYTES];
	struct wire wire;

	if (wire_open(&wire, (int)(long)fd))
		return NULL;
	while (wire_get(&wire, line) == 0) {
		handle_request(line, answer);
		if (wire_put(&wire, answer))
			break;
	}
	fclose(wire.in);
	return NULL;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static int serve(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t id;
	long connection;

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64)) {
		perror(path);
		return 1;
	}
	while ((connection = accept(fd, NULL, NULL)) >= 0)
		if (pthread_create(&id, NULL, serve_connection, (void *)connection) == 0)
			pthread_detach(id);
	return 1;
}

/* ---- the load: visits of a login, some pages and a logout, with pauses between ------------------
 */

static atomic_ulong asked, answered;
static const char *socket_path;
static double load_seconds;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int ask(struct wire *wire, const char *request, const char *want, char *answer)
{
	asked++;
	if (wire_put(wire, request) || wire_get(wire, answer))
		return -1;
	answered += strncmp(answer, want, strlen(want)) == 0;
	return 0;
}

static int visit(struct wire *wire, unsigned long number)
{
	char line[LINE_BYTES], want[LINE_BYTES], answer[LINE_BYTES];
	unsigned long token = 0;

	snprintf(line, sizeof(line), "LOGIN user%lu", number);
	if (ask(wire, line, "OK ", answer) || sscanf(answer, "OK %lu", &token) != 1)
		return -1;
	for (unsigned long i = number; i < number + PAGES_A_VISIT; i++) {
		snprintf(line, sizeof(line), "PAGE %lu %lu", token, i);
		snprintf(want, sizeof(want), "PAGE %c", (int)('a' + i % 26));
		if (ask(wire, line, want, answer))
			return -1;
	}
	snprintf(line, sizeof(line), "LOGOUT %lu", token);
	return ask(wire, line, "OK", answer);
}

static void *run_visitor(void *unused)
{
	struct sockaddr_un address = address_of(socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	double end = now() + load_seconds;
	struct wire wire;

	(void)unused;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) || wire_open(&wire, fd)) {
		perror(socket_path);
		exit(1);
	}
	for (unsigned long i = 0; now() < end && visit(&wire, i) == 0; i++)
		usleep(4000);
	fclose(wire.in);
	return NULL;
}

static int load(void)
{
	pthread_t ids[VISITORS];

	for (int i = 0; i < VISITORS; i++)
		if (pthread_create(&ids[i], NULL, run_visitor, NULL))
			return 1;
	for (int i = 0; i < VISITORS; i++)
		pthread_join(ids[i], NULL);
	printf("%lu requests, %lu answered rightly\n", asked, answered);
	return asked != answered;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc == 4 && strcmp(argv[1], "load") == 0) {
		socket_path = argv[2];
		load_seconds = atof(argv[3]);
		return load();
	}
	fprintf(stderr, "usage: demo_service serve SOCKET | load SOCKET SECONDS\n");
	return 2;
}
