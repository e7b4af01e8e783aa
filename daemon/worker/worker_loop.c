#include "worker_loop.h"

#include <errno.h>

#include "proto/base/cleanup.h"
#include "sandbox.h"
#include "worker_link.h"

static int answer_failure(int error, const struct dhat_error *err)
{
	struct wire_writer writer = { 0 };
	int r;

	wire_put_u32(&writer, error);
	wire_put_u32(&writer, err->code);
	wire_put_string(&writer, err->message);
	r = worker_send(WORKER_SOCKET, WORKER_FAILED, writer.data, writer.size, -1, 0);
	wire_writer_deinit(&writer);
	return r;
}

static int serve_next(worker_answer_fn answer_to)
{
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_close_ int fd = -1;
	struct wire_writer answer = { 0 };
	struct dhat_error err = { 0 };
	struct worker_head head;
	struct wire_reader request;
	int r = worker_receive(WORKER_SOCKET, WORKER_MAX_MESSAGE_BYTES, 0, &head, &data, &fd);

	if (r)
		return r;
	request = (struct wire_reader){ .data = data, .size = head.size };
	r = answer_to(head.type, fd, &request, &answer, &err);
	cleanup_close_fd(&fd); /* once it has answered, the worker holds nothing */
	fd = -1;
	if (!r && answer.is_failed)
		r = -ENOMEM;
	if (r)
		r = answer_failure(-r, &err);
	else
		r = worker_send(WORKER_SOCKET, WORKER_DONE, answer.data, answer.size, -1, 0);
	wire_writer_deinit(&answer);
	return r;
}

int worker_loop(uint64_t memory_bytes, worker_answer_fn answer_to)
{
	struct sandbox_limits limits = { .memory_bytes = memory_bytes };
	struct dhat_error err = { 0 };
	int r = sandbox_enter(&limits, &err);

	if (r) { /* say why, once somebody asks */
		answer_failure(-r, &err);
		return 1;
	}
	while (!serve_next(answer_to))
		;
	return 0;
}
