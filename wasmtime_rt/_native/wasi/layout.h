/* Numbers in a program's memory: little-endian, as on every machine that this package runs on. */
#ifndef WRT_WASI_LAYOUT_H
#define WRT_WASI_LAYOUT_H

#include <stdint.h>

static inline void put16(uint8_t *out, uint16_t value) { __builtin_memcpy(out, &value, sizeof value); }
static inline void put32(uint8_t *out, uint32_t value) { __builtin_memcpy(out, &value, sizeof value); }
static inline void put64(uint8_t *out, uint64_t value) { __builtin_memcpy(out, &value, sizeof value); }

/* Another thread may write to a shared memory. This makes the compiler load once: what was checked is what is used. */
#define LOADED_ONCE(value) __asm__ volatile("" : "+r"(value))

static inline uint16_t get16(const uint8_t *in) {
    uint16_t value;
    __builtin_memcpy(&value, in, sizeof value);
    LOADED_ONCE(value);
    return value;
}

static inline uint32_t get32(const uint8_t *in) {
    uint32_t value;
    __builtin_memcpy(&value, in, sizeof value);
    LOADED_ONCE(value);
    return value;
}

static inline uint64_t get64(const uint8_t *in) {
    uint64_t value;
    __builtin_memcpy(&value, in, sizeof value);
    LOADED_ONCE(value);
    return value;
}

#endif
