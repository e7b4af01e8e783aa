#pragma once
/* frame: messages on a stream socket, each behind its length.
 *
 * A frame is a u32 in little endian, the payload's size in bytes, and the payload: one protobuf
 * message. The size is checked before anything is allocated for it, and a frame must be whole
 * before a deadline: a peer that sends half a frame, or too much, loses its connection and
 * nothing else happens.
 */
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "proto/base/error.h"

/* In the first field of each request. It changes only when an old peer would misunderstand a new
 * one; new fields do not change it. */
#define DHAT_PROTOCOL_VERSION 1

#define DHAT_FRAME_HEAD_BYTES 4
#define DHAT_FRAME_REQUEST_MAX (64u << 10) /* a request: some options, some custom allocators */
#define DHAT_FRAME_RESPONSE_MAX                                                                    \
	(16u << 20) /* a batch of a snapshot; batches are kept far below                           \
		     */

void dhat_frame_encode_head(uint8_t head[DHAT_FRAME_HEAD_BYTES], uint32_t size_bytes);
uint32_t dhat_frame_decode_head(const uint8_t head[DHAT_FRAME_HEAD_BYTES]);

/* Send or receive one whole frame. -ETIMEDOUT: not whole at deadline_ns. -EMSGSIZE: longer than
 * max_bytes (nothing of it was sent, or its payload was not read). -EPIPE: the peer went away in
 * the middle. -ENODATA (receive only; err stays untouched): the peer closed between two frames.
 * After any failure the stream is of no more use. The caller frees *ret; an empty payload is a
 * valid one and gives a pointer to free, too. */
int dhat_frame_send(int fd, const void *payload, size_t size, size_t max_bytes,
		    uint64_t deadline_ns, struct dhat_error *err);
int dhat_frame_receive(int fd, size_t max_bytes, uint64_t deadline_ns, uint8_t **ret,
		       size_t *ret_size, struct dhat_error *err);

/* Pack a message and send it. */
int dhat_frame_send_message(int fd, const ProtobufCMessage *message, size_t max_bytes,
			    uint64_t deadline_ns, struct dhat_error *err);

/* Unpack a message from outside. What unpacking may allocate is bounded by DHAT_UNPACK_FACTOR times
 * the size: two bytes of input can become a struct of a hundred. NULL if it is no such message. The
 * caller frees it by protobuf_c_message_free_unpacked(message, NULL). */
#define DHAT_UNPACK_FACTOR 24
ProtobufCMessage *dhat_frame_unpack(const ProtobufCMessageDescriptor *descriptor,
				    const uint8_t *payload, size_t size);
