/* SPDX-License-Identifier: Apache-2.0 */
/* crc - CRC-32C (Castagnoli): tells whether bytes on disk are those that were written. No defence against a forger. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t n);
