// The functions that the addon exports, by file. `alive` is not looked at: an argument cannot be
// collected during the call, and so neither can the tensors it holds.
#pragma once

#include "arguments.h"

namespace tg::binding {

// run.cpp: ops. Attributes are in the mailbox; the result's dtype and shape come back there.
napi_value run(napi_env env, napi_callback_info info);  // (op, owner, alive, …handles) -> handle
// An op without inputs: (op, owner, device, or the handle of a tensor on it) -> handle
napi_value generate(napi_env env, napi_callback_info info);
napi_value run_list(napi_env env,
                    napi_callback_info info);  // (op, owner, alive, Float64Array handles) -> handle
napi_value optimize(napi_env env, napi_callback_info info);       // (rule, handles, numbers)
napi_value gradient_norm(napi_env env, napi_callback_info info);  // (handles) -> number
napi_value scale(napi_env env, napi_callback_info info);          // (handles, factor)
napi_value clip_norm(napi_env env,
                     napi_callback_info info);  // (handles, limit, finite: 0 or 1) -> norm before
napi_value clip(napi_env env, napi_callback_info info);        // (handles, limit)
napi_value assign(napi_env env, napi_callback_info info);      // (handle, source)
napi_value accumulate(napi_env env, napi_callback_info info);  // (handle, source)

// tensors.cpp: making, reading and freeing.
napi_value from_data(napi_env env,
                     napi_callback_info info);  // (owner, dtype, typed array, device); shape in
                                                // the mailbox
napi_value to_device(napi_env env,
                     napi_callback_info info);  // (owner, alive, handle, device) -> handle
napi_value move_to(napi_env env, napi_callback_info info);    // (handle, device), in place
napi_value device_of(napi_env env, napi_callback_info info);  // (handle) -> device; the CPU if gone
napi_value zeros_like(napi_env env, napi_callback_info info);  // (owner, alive, handle) -> handle
napi_value clone_all(napi_env env,
                     napi_callback_info info);  // (owners, handles, room for handles, alive)
napi_value read(napi_env env, napi_callback_info info);  // (handle, typed array)
napi_value describe(napi_env env,
                    napi_callback_info info);  // (handle): dtype, shape, strides to the mailbox
napi_value share(napi_env env, napi_callback_info info);    // (handle) -> id
napi_value attach(napi_env env, napi_callback_info info);   // (handle, id)
napi_value dispose(napi_env env, napi_callback_info info);  // (handle) -> was live
napi_value alive(napi_env env, napi_callback_info info);    // (handle) -> boolean
napi_value sweep(napi_env env, napi_callback_info info);    // () -> tensors freed

// devices.cpp: what is beside the CPU, and reading without waiting.
// Where the libraries of devices may be: what TAPEGRAD_CUDA_LIBRARY names and nothing else, or
// beside this addon.
void add_libraries(DeviceLoader* loader);
napi_value open_device(napi_env env,
                       napi_callback_info info);             // (device): throws unless it is usable
napi_value diagnose(napi_env env, napi_callback_info info);  // () -> {reason, paths, devices}
napi_value synchronize(napi_env env, napi_callback_info info);   // (device)
napi_value set_tf32(napi_env env, napi_callback_info info);      // (0 or 1)
napi_value reads_listen(napi_env env, napi_callback_info info);  // (callback(id))
napi_value read_later(napi_env env, napi_callback_info info);    // (handle, dtype) -> id
napi_value read_take(napi_env env,
                     napi_callback_info info);  // (id, typed array), after callback(id)

// compiled.cpp: compiled functions.
napi_value programs_listen(napi_env env, napi_callback_info info);  // (callback(id))
napi_value trace_begin(napi_env env, napi_callback_info info);      // (seed, stream, device)
napi_value trace_input(napi_env env, napi_callback_info info);      // (owner) -> handle
napi_value trace_number(napi_env env, napi_callback_info info);     // (owner, dtype) -> handle
napi_value trace_pause(napi_env env, napi_callback_info info);      // (paused: 0 or 1)
napi_value trace_end(napi_env env, napi_callback_info info);        // (output handles) -> id
napi_value program_run(napi_env env,
                       napi_callback_info info);  // (id, how, steps, numbers, handles,
                                                  // order, seed, stream, alive)
napi_value program_collect(napi_env env, napi_callback_info info);   // (id, losses) -> {done, …}
napi_value program_output(napi_env env, napi_callback_info info);    // (id, i, owner) -> handle
napi_value program_abort(napi_env env, napi_callback_info info);     // (id)
napi_value program_dispose(napi_env env, napi_callback_info info);   // (id)
napi_value program_describe(napi_env env, napi_callback_info info);  // (id, recorded) -> JSON
napi_value program_facts(napi_env env, napi_callback_info info);     // (id) -> {row, streams, …}

// state.cpp: settings and what the addon says of itself.
napi_value memory(napi_env env, napi_callback_info info);  // (device) -> {tensors, bytes, …}
napi_value set_memory_limit(napi_env env, napi_callback_info info);  // (bytes, device)
napi_value reset_peak(napi_env env, napi_callback_info info);        // (device)
napi_value set_threads(napi_env env, napi_callback_info info);       // (count)
napi_value state(napi_env env, napi_callback_info info);             // () -> {isa, isas, threads}
napi_value trace(napi_env env, napi_callback_info info);     // (device) -> which kernel ran last
napi_value counters(napi_env env, napi_callback_info info);  // () -> {kernels, tensors, …}
napi_value schema(napi_env env, napi_callback_info info);    // () -> JSON

}  // namespace tg::binding
