/* What a WASI program may see: arguments, environment, standard streams and folders.
 *
 * `wasi_config_set_argv` and `wasi_config_set_env` append. Strings are UTF-8 and NUL-terminated.
 * The stream callbacks are called on threads of the engine.
 */
#ifndef WASMTIME_RT_WASI_H
#define WASMTIME_RT_WASI_H

#include "wasm.h"

typedef struct wasi_config_t wasi_config_t;
void wasi_config_delete(wasi_config_t *);
wasi_config_t *wasi_config_new(void);
void wasi_config_inherit_network(wasi_config_t *config);
void wasi_config_allow_ip_name_lookup(wasi_config_t *config, bool enable);
bool wasi_config_set_argv(wasi_config_t *config, size_t argc, const char *argv[]);
void wasi_config_inherit_argv(wasi_config_t *config);
bool wasi_config_set_env(
    wasi_config_t *config, size_t envc, const char *names[], const char *values[]);
void wasi_config_inherit_env(wasi_config_t *config);
bool wasi_config_set_stdin_file(wasi_config_t *config, const char *path);
void wasi_config_set_stdin_bytes(wasi_config_t *config, wasm_byte_vec_t *binary);
void wasi_config_inherit_stdin(wasi_config_t *config);
bool wasi_config_set_stdout_file(wasi_config_t *config, const char *path);
void wasi_config_inherit_stdout(wasi_config_t *config);
void wasi_config_set_stdout_custom(
    wasi_config_t *config, ptrdiff_t (*callback)(void *, const unsigned char *, size_t),
    void *data, void (*finalizer)(void *));
bool wasi_config_set_stderr_file(wasi_config_t *config, const char *path);
void wasi_config_inherit_stderr(wasi_config_t *config);
void wasi_config_set_stderr_custom(
    wasi_config_t *config, ptrdiff_t (*callback)(void *, const unsigned char *, size_t),
    void *data, void (*finalizer)(void *));
typedef size_t wasi_file_perms;
bool wasi_config_preopen_dir(
    wasi_config_t *config, const char *host_path, const char *guest_path, bool fs_mutable);

#endif
