#include "sample.h"

struct sample sample_of(uint64_t sample_bytes)
{
	return (struct sample){ .bytes = sample_bytes, .law = dhat_sample_of(sample_bytes) };
}

struct sample_weight sample_weigh(const struct sample *sample, uint64_t size_bytes)
{
	uint64_t threshold = dhat_sample_threshold(&sample->law, size_bytes);
	double p = (double)threshold / DHAT_SAMPLE_ONE;
	double shares = (double)size_bytes / (double)sample->bytes / p;

	return (struct sample_weight){
		.bytes = ((unsigned __int128)size_bytes * DHAT_SAMPLE_ONE + threshold / 2) /
			 threshold,
		.blocks = (DHAT_SAMPLE_ONE * SAMPLE_BLOCK + threshold / 2) / threshold,
		.seen = size_bytes,
		.error = (uint64_t)(shares * shares * (1 - p) * SAMPLE_ERROR + 0.5),
	};
}

double sample_variance(const struct sample *sample, uint64_t error)
{
	double bytes = (double)sample->bytes;

	return (double)error / SAMPLE_ERROR * bytes * bytes;
}

uint64_t sample_whole_by(uint64_t parts, uint64_t addr)
{
	uint64_t hash = (addr ^ addr >> 32) * 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio */

	return (parts + (hash >> 48)) / SAMPLE_BLOCK;
}
