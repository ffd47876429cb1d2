/* SPDX-License-Identifier: Apache-2.0 */
/* alerts_feed - what the files of the alerts' API share. */
#pragma once
#include <pthread.h>
#include "api/alerts_api.h"
#include "api/alerts_proto.h"

struct alerts_stream;

struct alerts_api {
	struct alerts *store; /* NULL: none are kept */
	struct alerts_watcher watcher;
	_Atomic uint64_t revision; /* the highest that was told */
	pthread_t thread;          /* fills the streams */
	bool started, watches;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t more;
	bool stop, pending; /* pending: something may be there to be done */
	struct alerts_stream *streams;
	unsigned n_streams;
};

/* What each handler asks first: -ENODATA without a store, -EPERM where the consumer's types leave alerts out. */
int alerts_api_may(const struct http_request *req);
/* One parameter of the query string, for http_params(); `arg` is a struct alerts_ask. */
int alerts_api_param(void *arg, const char *name, const char *value);

/* alerts_stream.c */
int alerts_feed_start(struct alerts_api *x);
void alerts_feed_stop(struct alerts_api *x);
void alerts_http_stream(struct http_request *req);
void alerts_grpc_stream(struct http_request *req);
