/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work - one thread for answers whose making may block, such as a status that waits for a lock, and threads of their
 * own for those that may take long.
 *
 * A job belongs to the exchange that waits for it and to the thread, whichever lets go last frees it: a client that
 * has gone leaves its job behind.
 */
#include "api/internal.h"
#include "base/err.h"

enum { JOBS_MAX = 64 };

struct work_job {
	_Atomic unsigned refs;
	_Atomic bool done;
	struct http_waker *waker;
	const char *type;
	unsigned (*make)(void *ctx, struct buf *out);
	const struct http_work *work; /* or NULL */
	void *ctx;
	unsigned status;
	struct buf out;
	struct work_job *next;
};

struct work {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct work_job *first, *last;
	unsigned n;
	bool stop, running;
};

void work_drop(struct work_job *job)
{
	if (!job || atomic_fetch_sub_explicit(&job->refs, 1, memory_order_acq_rel) != 1)
		return;
	http_waker_free(job->waker);
	buf_free(&job->out);
	if (job->work)
		job->work->release(job->ctx);
	free(job);
}

static struct work_job *next_job(struct work *w)
{
	struct work_job *job;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->first && !w->stop)
		(void)pthread_cond_wait(&w->more, &w->lock);
	job = w->stop ? NULL : w->first;
	if (job) {
		w->first = job->next;
		w->n--;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return job;
}

static void *work_main(void *arg)
{
	struct work *w = arg;
	struct work_job *job;

	while ((job = next_job(w))) {
		/* Nobody waits any more? */
		if (atomic_load(&job->refs) > 1 && job->work)
			job->work->make(job->ctx);
		else if (atomic_load(&job->refs) > 1)
			job->status = job->make(job->ctx, &job->out);
		atomic_store_explicit(&job->done, true, memory_order_release);
		http_wake(job->waker);
		work_drop(job);
	}
	return NULL;
}

static struct work_job *job_new(struct exchange *x, const struct work_job *what)
{
	struct work_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	*job = *what;
	job->refs = 2;
	job->waker = http_waker(&x->req);
	buf_init(&job->out, REPLY_MAX);
	if (job->waker)
		return job;
	free(job);
	return NULL;
}

static struct work_job *begin(struct work *w, struct exchange *x, const struct work_job *what)
{
	struct work_job *job = w ? job_new(x, what) : NULL;

	if (!job)
		return NULL;
	(void)pthread_mutex_lock(&w->lock);
	if (w->n == JOBS_MAX || w->stop) {
		(void)pthread_mutex_unlock(&w->lock);
		http_waker_free(job->waker);
		free(job);
		return NULL;
	}
	if (w->first)
		w->last->next = job;
	else
		w->first = job;
	w->last = job;
	w->n++;
	(void)pthread_cond_signal(&w->more);
	(void)pthread_mutex_unlock(&w->lock);
	return job;
}

/* Also when nobody waits any more: `make` may have to take something back. */
static void *alone_main(void *arg)
{
	struct work_job *job = arg;

	job->work->make(job->ctx);
	atomic_store_explicit(&job->done, true, memory_order_release);
	http_wake(job->waker);
	work_drop(job);
	return NULL;
}

struct work_job *work_begin_alone(struct exchange *x, const struct http_work *work, void *ctx)
{
	struct work_job *job = job_new(x, &(struct work_job) { .work = work, .ctx = ctx });
	pthread_attr_t attr;
	pthread_t thread;
	int r = -1;

	if (!job)
		return NULL;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, alone_main, job);
	(void)pthread_attr_destroy(&attr);
	if (!r)
		return job;
	http_waker_free(job->waker);
	free(job);
	return NULL;
}

struct work_job *work_begin(struct work *w, struct exchange *x, const char *type,
			    unsigned (*make)(void *ctx, struct buf *out), void *ctx)
{
	return begin(w, x, &(struct work_job) { .type = type, .make = make, .ctx = ctx });
}

struct work_job *work_begin_for(struct work *w, struct exchange *x, const struct http_work *work, void *ctx)
{
	struct work_job *job = begin(w, x, &(struct work_job) { .work = work, .ctx = ctx });

	if (!job)
		work->release(ctx);
	return job;
}

bool work_answer(struct work_job *job, struct http_request *req)
{
	if (!atomic_load_explicit(&job->done, memory_order_acquire))
		return false;
	if (job->work)
		job->work->answer(job->ctx, req);
	else
		http_reply_buf(req, job->status, job->type, &job->out);
	return true;
}

int work_open(struct work **ret_work)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w)
		return err_new(-ENOMEM, "no memory for the API's worker");
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->more, NULL);
	if (pthread_create(&w->thread, NULL, work_main, w)) {
		work_free(w);
		return err_new(-EAGAIN, "cannot start the API's worker");
	}
	w->running = true;
	(void)pthread_setname_np(w->thread, "api-work");
	*ret_work = w;
	return 0;
}

void work_stop(struct work *w)
{
	if (!w)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->more);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->running)
		(void)pthread_join(w->thread, NULL);
	w->running = false;
}

void work_free(struct work *w)
{
	struct work_job *next;

	if (!w)
		return;
	work_stop(w);
	for (struct work_job *job = w->first; job; job = next) {
		next = job->next;
		work_drop(job);
	}
	(void)pthread_cond_destroy(&w->more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
