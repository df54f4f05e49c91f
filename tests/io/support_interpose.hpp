/// Calls of the operating system that fail on request: the test program's own pwrite, fsync and rename come before the C library's.
#pragma once

#include <cstdint>

namespace bayesflow::interpose {

/// From now on, writes fail with ENOSPC once this many more bytes were written (the last one may be short); negative: never.
void fail_writes_after(std::int64_t bytes);
/// The next fsync fails with EIO.
void fail_next_sync();
/// The next rename fails with EACCES.
void fail_next_rename();
/// Everything works again.
void reset();

}  // namespace bayesflow::interpose
