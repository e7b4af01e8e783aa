#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/qualifiers.h"
#include "worker_ask.h"
#include "worker_link.h"
#include "worker_main.h"
#include "worker_process.h"

#define SECOND_NS 1000000000ull
#define STOP_MS 50	 /* so often it is asked whether anybody still waits */
#define MAX_WISHES 65536 /* a file each: the .dwo files of a large program */
#define MAX_REFUSED                                                                                \
	256 /* files remembered for having brought a worker down; older ones are forgotten */

/* One for names, one for scans, and several for tables: those of a file that is huge, or on a disk
 * that does not answer, delay those of no other. */
#define TABLE_PROCESSES 3
#define PROCESSES (WORKER_KINDS + TABLE_PROCESSES - 1)

struct file_key {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec mtime;
	uint32_t type; /* of request */
};

struct refused {
	struct file_key key;
	char reason[128];
};

struct worker {
	struct worker_options options;
	pthread_mutex_t lock; /* who has taken which */
	pthread_cond_t is_given_back;
	struct worker_process processes[PROCESSES];
	bool are_scans_taken, are_scans_urgent;
	const atomic_bool *scans_stop; /* of who has taken them */
	pthread_mutex_t refused_lock;
	struct refused refused[MAX_REFUSED];
	uint64_t refused_count; /* ever; the list is a ring */
};

struct exchange {
	const struct worker_question *question;
	const atomic_bool *stop; /* may be NULL */
	uint64_t limit_ns;
	uid_t object_owner; /* WORKER_OWNER_NONE: root */
	/* of all files that this request has shown the worker so far */
	uid_t owner;
	uint32_t wish_count;		 /* granted or not */
	uint64_t grant_ns, max_grant_ns; /* time that looking for them took, may take in all */
	uint64_t deadline_ns;
	uint8_t *answer; /* of WORKER_DONE */
	size_t answer_size;
};

/* ---- files that bring workers down ---- */

static bool is_same_file(const struct file_key *a, const struct file_key *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->type == b->type;
}

static int check_refused(struct worker *worker, const struct file_key *key, struct dhat_error *err)
{
	uint64_t count;
	int r = 0;

	pthread_mutex_lock(&worker->refused_lock);
	count = worker->refused_count < MAX_REFUSED ? worker->refused_count : MAX_REFUSED;
	for (uint64_t i = 0; i < count && !r; i++)
		if (is_same_file(&worker->refused[i].key, key))
			r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED, "%s; not tried again",
					   worker->refused[i].reason);
	pthread_mutex_unlock(&worker->refused_lock);
	return r;
}

static void refuse(struct worker *worker, const struct file_key *key, const char *reason)
{
	struct refused *entry;

	pthread_mutex_lock(&worker->refused_lock);
	entry = &worker->refused[worker->refused_count++ % MAX_REFUSED];
	entry->key = *key;
	snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
	pthread_mutex_unlock(&worker->refused_lock);
}

/* ---- one request ---- */

/* Whoever made a file may have taken the worker over by it, so a worker is shown the files of one
 * person, and root's. (One that has seen somebody's is not used for an object of root's, so there
 * it is still nobody's.) */
static bool may_see(struct exchange *exchange, struct worker_process *process, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	if (st.st_uid == 0 || st.st_uid == exchange->owner)
		return true;
	if (exchange->owner != WORKER_OWNER_NONE)
		return false;
	process->owner = exchange->owner = st.st_uid;
	return true;
}

/* Within the bounds on wishes; what is beyond them does not exist. */
static int ask_granter(struct exchange *exchange, const struct wish *wish)
{
	const struct wish_granter *granter = exchange->question->granter;
	uint64_t began = clock_now_ns(CLOCK_MONOTONIC), took;
	int fd;

	if (!granter || exchange->wish_count++ >= MAX_WISHES ||
	    exchange->grant_ns >= exchange->max_grant_ns)
		return -1;
	fd = granter->grant(granter->context, wish);
	took = clock_now_ns(CLOCK_MONOTONIC) - began;
	exchange->grant_ns += took;
	exchange->deadline_ns += took;
	return fd;
}

static bool is_our_own(const struct wish *wish)
{
	return wish->kind == WISH_BLOCKS || wish->kind == WISH_ROOM;
}

/* A wish in the middle of a naming: ask the granter, send what it found. */
static int grant(struct exchange *exchange, struct worker_process *process, const uint8_t *data,
		 size_t size)
{
	struct wire_reader reader = { .data = data, .size = size };
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -1;
	struct wish wish = { .kind = wire_get_u32(&reader) };

	wish.name = name = wire_get_string(&reader);
	wish.build_id = wire_get_bytes(&reader, &wish.build_id_size);
	if (reader.is_short || reader.size || wish.build_id_size > 64 ||
	    wish.kind < WISH_BUILD_ID || wish.kind >= WISH_COUNT)
		return -EBADMSG;
	fd = ask_granter(exchange, &wish);
	return worker_send(process->sock, WORKER_GRANT, NULL, 0,
			   fd >= 0 && (is_our_own(&wish) || may_see(exchange, process, fd)) ? fd
											    : -1,
			   exchange->deadline_ns);
}

static int read_failure(struct wire_reader *reader, struct dhat_error *err)
{
	uint32_t error = wire_get_u32(reader);
	uint32_t code = wire_get_u32(reader);
	_cleanup_free_ char *message = wire_get_string(reader);

	if (reader->is_short || !error || error > 4095)
		return -EBADMSG;
	if (!message || !*message || code == DHAT_EXIT_OK)
		dhat_error_errno(err, error, "the ELF worker could not do it");
	else
		dhat_error_set(err, error, code, "%s", message);
	return error;
}

/* Until there is something to receive, or it is too late, or nobody wants it any more. */
static int wait_for_message(const struct exchange *exchange, const struct worker_process *process)
{
	struct pollfd socket = { .fd = process->sock, .events = POLLIN };

	while (clock_now_ns(CLOCK_MONOTONIC) < exchange->deadline_ns) {
		if (exchange->stop && atomic_load(exchange->stop))
			return -ECANCELED;
		if (poll(&socket, 1, STOP_MS) > 0)
			return 0;
	}
	return -ETIMEDOUT;
}

/* Until the answer. > 0: the worker's own error, an errno; < 0: the worker is unusable. */
static int receive_answer(struct exchange *exchange, struct worker_process *process,
			  struct dhat_error *err)
{
	while (clock_now_ns(CLOCK_MONOTONIC) < exchange->deadline_ns) {
		_cleanup_free_ uint8_t *data = NULL;
		struct worker_head head;
		struct wire_reader reader;
		int r = wait_for_message(exchange, process);

		if (r == 0)
			r = worker_receive(process->sock, exchange->question->max_answer,
					   exchange->deadline_ns, &head, &data, NULL);
		if (r)
			return r;
		reader = (struct wire_reader){ .data = data, .size = head.size };
		switch (head.type) {
		case WORKER_DONE:
			exchange->answer = take_ptr(data);
			exchange->answer_size = head.size;
			return 0;
		case WORKER_FAILED:
			return read_failure(&reader, err);
		case WORKER_WISH:
			r = grant(exchange, process, data, head.size);
			if (r)
				return r;
			break;
		default:
			return -EBADMSG;
		}
	}
	return -ETIMEDOUT; /* it wishes without end */
}

/* What is to be said of a worker that did not answer. *ret_is_guilty: by the file's doing. */
static void explain(int error, int status, uint64_t limit_ns, char *ret, size_t size,
		    bool *ret_is_guilty)
{
	*ret_is_guilty = true;
	if (error == ETIMEDOUT) {
		snprintf(ret, size, "reading it took the ELF worker longer than %llu s",
			 (unsigned long long)(limit_ns / SECOND_NS));
	} else if (error == EPIPE && WIFSIGNALED(status)) {
		int number = WTERMSIG(status);
		const char *name = sigabbrev_np(number);

		snprintf(ret, size,
			 "the ELF worker was ended by signal %d (SIG%s) while reading it", number,
			 name ? name : "?");
		/* from outside: the kernel short of memory, or a person */
		*ret_is_guilty = number != SIGKILL && number != SIGTERM && number != SIGINT;
	} else if (error == EPIPE) {
		snprintf(ret, size, "the ELF worker ended while reading it");
	} else {
		snprintf(ret, size, "the ELF worker gave a senseless answer (%s)", strerror(error));
	}
}

/* Kills nobody who has ended by himself: the status then tells why. */
static int status_after(struct worker_process *process, int error)
{
	int status = 0;

	if (error == EPIPE) {
		/* the socket ends a moment before the process can be waited for */
		for (int i = 0; i < 200; i++) {
			pid_t pid = waitpid(process->pid, &status, WNOHANG);

			if (pid == process->pid) {
				process->pid = 0;
				worker_process_set_socket(process, -1);
				return status;
			}
			usleep(5000);
		}
	}
	return worker_process_stop(process);
}

/* Of this thread. */
static int niceness_here(void)
{
	return getpriority(PRIO_PROCESS, 0);
}

static int start(const struct worker *worker, struct worker_process *process,
		 struct dhat_error *err)
{
	int r = worker_process_start(process, worker->options.memory_bytes, err);

	process->niceness = niceness_here();
	if (r == 0 && process->kind == WORKER_SCANS && !worker->are_scans_urgent)
		setpriority(PRIO_PROCESS, process->pid, 19);
	return r;
}

/* Whoever starts one hands down his own niceness, which nobody may take back without CAP_SYS_NICE:
 * what was started for work that can wait is no worker for what cannot. */
static bool is_too_nice(const struct worker_process *process)
{
	return process->pid && process->niceness > niceness_here();
}

static int send_request(struct worker *worker, struct worker_process *process,
			struct exchange *exchange, struct dhat_error *err)
{
	const struct worker_question *question = exchange->question;

	for (int attempt = 0;; attempt++) {
		bool is_new;
		int r;

		if (is_too_nice(process))
			worker_process_stop(process);
		is_new = !process->pid;
		r = is_new ? start(worker, process, err) : 0;

		if (r)
			return r;
		if (exchange->object_owner != WORKER_OWNER_NONE)
			process->owner = exchange->object_owner;
		exchange->owner = exchange->object_owner;
		worker_process_limit_cpu(process, exchange->limit_ns);
		exchange->deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + exchange->limit_ns;
		r = worker_send(process->sock, question->type, question->request->data,
				question->request->size, question->fd, exchange->deadline_ns);
		if (!r)
			return 0;
		worker_process_stop(process); /* it ended while idle: a new one, once */
		if (is_new || attempt)
			return dhat_error_errno(err, -r, "cannot reach the ELF worker");
	}
}

static int refuse_stopped(struct dhat_error *err)
{
	return dhat_error_set(err, ECANCELED, DHAT_EXIT_FAILED, "dhatd is ending");
}

/* One try. *ret_is_stale: it brought down a worker that had served before, and what was left behind
 * there (memory it never got back) may be to blame. */
static int try_locked(struct worker *worker, struct worker_process *process,
		      struct exchange *exchange, const struct file_key *key, bool *ret_is_stale,
		      struct dhat_error *err)
{
	bool was_used = process->pid, is_guilty;
	char reason[128];
	int r = send_request(worker, process, exchange, err), status;

	*ret_is_stale = false;
	if (r)
		return r;
	r = receive_answer(exchange, process, err);
	if (r == ENOMEM)
		worker_process_stop(process);
	*ret_is_stale = was_used && r == ENOMEM;
	if (r >= 0)
		return -r;
	if (process->is_stopped) {
		worker_process_stop(process);
		return refuse_stopped(err);
	}
	if (r == -ECANCELED) {
		worker_process_stop(process);
		return dhat_error_set(err, ECANCELED, DHAT_EXIT_FAILED,
				      "nobody waits for the answer any more");
	}
	status = status_after(process, -r);
	explain(-r, status, exchange->limit_ns, reason, sizeof(reason), &is_guilty);
	*ret_is_stale = was_used && is_guilty && r != -ETIMEDOUT;
	if (is_guilty && !*ret_is_stale && exchange->question->kind != WORKER_SCANS)
		refuse(worker, key, reason); /* memory will be other memory the next time */
	return dhat_error_set(err, -r, DHAT_EXIT_FAILED, "%s", reason);
}

static int run_locked(struct worker *worker, struct worker_process *process,
		      struct exchange *exchange, const struct file_key *key, struct dhat_error *err)
{
	struct dhat_error first = { 0 };
	bool is_stale;
	int r = try_locked(worker, process, exchange, key, &is_stale, &first);

	if (is_stale) /* a file is blamed for what it does to a new one */
		return try_locked(worker, process, exchange, key, &is_stale, err);
	if (r)
		dhat_error_set(err, -r, first.code, "%s", first.message);
	return r;
}

/* What a worker that may have been taken over says of other owners' files is worth nothing; see
 * may_see(). */
static bool may_serve(const struct worker_process *process, uid_t owner)
{
	return process->owner == WORKER_OWNER_NONE || process->owner == owner;
}

/* With `lock`: of a kind and not taken; rather one that runs and may serve, else one that does not
 * run. NULL: all are taken. */
static struct worker_process *choose(struct worker *worker, enum worker_kind kind, uid_t owner)
{
	struct worker_process *best = NULL;

	for (int i = 0; i < PROCESSES; i++) {
		struct worker_process *process = &worker->processes[i];

		if (process->kind != kind || process->is_taken)
			continue;
		if (process->pid && may_serve(process, owner))
			return process;
		if (!best || (best->pid && !process->pid))
			best = process;
	}
	return best;
}

static struct worker_process *take_process(struct worker *worker, enum worker_kind kind,
					   uid_t owner)
{
	struct worker_process *process;

	pthread_mutex_lock(&worker->lock);
	while (!(process = choose(worker, kind, owner)))
		pthread_cond_wait(&worker->is_given_back, &worker->lock);
	process->is_taken = true;
	pthread_mutex_unlock(&worker->lock);
	if (process->pid && !may_serve(process, owner))
		worker_process_stop(process);
	return process;
}

static void give_back(struct worker *worker, struct worker_process *process)
{
	pthread_mutex_lock(&worker->lock);
	process->is_taken = false;
	pthread_cond_broadcast(&worker->is_given_back);
	pthread_mutex_unlock(&worker->lock);
}

int worker_take_scans(struct worker *worker, const atomic_bool *stop, bool is_urgent)
{
	struct timespec until;

	pthread_mutex_lock(&worker->lock);
	while (worker->are_scans_taken && !(stop && atomic_load(stop))) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += STOP_MS * 1000000;
		until.tv_sec += until.tv_nsec / (long)SECOND_NS;
		until.tv_nsec %= (long)SECOND_NS;
		pthread_cond_timedwait(&worker->is_given_back, &worker->lock, &until);
	}
	if (worker->are_scans_taken) {
		pthread_mutex_unlock(&worker->lock);
		return -ECANCELED;
	}
	worker->are_scans_taken = true;
	worker->scans_stop = stop;
	worker->are_scans_urgent = is_urgent;
	pthread_mutex_unlock(&worker->lock);
	return 0;
}

void worker_give_scans(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->are_scans_taken = false;
	worker->scans_stop = NULL;
	worker->are_scans_urgent = false;
	pthread_cond_broadcast(&worker->is_given_back);
	pthread_mutex_unlock(&worker->lock);
}

static uint64_t limit_of(const struct worker *worker, enum worker_kind kind)
{
	const uint32_t seconds[WORKER_KINDS] = {
		[WORKER_NAMES] = worker->options.name_seconds,
		[WORKER_TABLES] = worker->options.table_seconds,
		[WORKER_SCANS] = worker->options.scan_seconds,
	};

	if (kind == WORKER_SCANS && worker->are_scans_urgent &&
	    seconds[kind] > WORKER_URGENT_SECONDS)
		return SECOND_NS * WORKER_URGENT_SECONDS;
	return SECOND_NS * seconds[kind];
}

int worker_ask(struct worker *worker, const struct worker_question *question, uint8_t **ret,
	       size_t *ret_size, struct dhat_error *err)
{
	struct worker_process *process;
	struct exchange exchange = { .question = question };
	struct file_key key = { .type = question->type };
	struct stat st;
	int r;

	if (question->request->is_failed)
		return dhat_error_errno(err, ENOMEM, "cannot ask the ELF worker");
	if (fstat(question->fd, &st) || !S_ISREG(st.st_mode))
		return dhat_error_set(err, EBADF, DHAT_EXIT_FAILED, "not a regular file");
	key.device = st.st_dev;
	key.inode = st.st_ino;
	key.size = st.st_size;
	key.mtime = st.st_mtim;
	r = check_refused(worker, &key, err);
	if (r)
		return r;
	exchange.object_owner = st.st_uid ? st.st_uid : WORKER_OWNER_NONE;
	exchange.limit_ns = limit_of(worker, question->kind);
	exchange.max_grant_ns = worker->options.grant_seconds * SECOND_NS;
	exchange.stop = question->kind == WORKER_SCANS ? worker->scans_stop : NULL;
	process = take_process(worker, question->kind, st.st_uid);
	r = process->is_stopped ? refuse_stopped(err)
				: run_locked(worker, process, &exchange, &key, err);
	if (question->kind == WORKER_SCANS)
		worker_process_stop(process); /* it has seen secrets */
	give_back(worker, process);
	if (r) {
		free(exchange.answer);
		return r;
	}
	*ret = exchange.answer;
	*ret_size = exchange.answer_size;
	return 0;
}

/* ---- the interface ---- */

DEFINE_CLEANUP_PTR(struct worker *, worker_free)

int worker_new(const struct worker_options *options, struct worker **ret, struct dhat_error *err)
{
	_cleanup_(worker_free_ptr) struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return dhat_error_errno(err, ENOMEM, "cannot set up the ELF worker");
	if (options)
		worker->options = *options;
	if (!worker->options.memory_bytes)
		worker->options.memory_bytes = WORKER_MEMORY_BYTES;
	if (!worker->options.table_seconds)
		worker->options.table_seconds = WORKER_TABLE_SECONDS;
	if (!worker->options.name_seconds)
		worker->options.name_seconds = WORKER_NAME_SECONDS;
	if (!worker->options.grant_seconds)
		worker->options.grant_seconds = WORKER_GRANT_SECONDS;
	if (!worker->options.scan_seconds)
		worker->options.scan_seconds = WORKER_SCAN_SECONDS;
#ifdef __SANITIZE_ADDRESS__
	worker->options.memory_bytes = 0; /* its shadow alone is terabytes of address space */
#endif
	for (int i = 0; i < PROCESSES; i++) {
		worker_process_init(&worker->processes[i],
				    i < WORKER_KINDS ? (enum worker_kind)i : WORKER_TABLES);
	}
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->is_given_back, NULL);
	pthread_mutex_init(&worker->refused_lock, NULL);
	*ret = take_ptr(worker);
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	for (int i = 0; i < PROCESSES; i++) {
		worker_process_stop(&worker->processes[i]);
		pthread_mutex_destroy(&worker->processes[i].sock_lock);
	}
	pthread_cond_destroy(&worker->is_given_back);
	pthread_mutex_destroy(&worker->lock);
	pthread_mutex_destroy(&worker->refused_lock);
	free(worker);
}

/* Whoever waits for an answer sees the end of the socket. */
static void stop_requests(struct worker_process *process)
{
	atomic_store(&process->is_stopped, true);
	pthread_mutex_lock(&process->sock_lock);
	if (process->sock >= 0)
		shutdown(process->sock, SHUT_RDWR);
	pthread_mutex_unlock(&process->sock_lock);
}

void worker_stop_looking(struct worker *worker)
{
	for (int i = 0; i < PROCESSES; i++)
		if (worker->processes[i].kind != WORKER_NAMES)
			stop_requests(&worker->processes[i]);
}

void worker_stop(struct worker *worker)
{
	for (int i = 0; i < PROCESSES; i++)
		stop_requests(&worker->processes[i]);
}
