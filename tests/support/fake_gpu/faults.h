// What goes wrong on a made-up GPU, as words: "1:init=never", "0:delay_us=500,1:async_error=5".
// A word without a rank holds for all. Thread safety: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace atelier::tests {

struct Faults {
  bool init_never = false;        ///< init=never: this rank's initialisation does not complete
  bool init_fails = false;        ///< init=fails: it ends with an error
  std::int64_t async_error = 0;   ///< async_error=N: NCCL meets an error in its N-th call
  std::int64_t stall = 0;         ///< stall=N: its N-th call never ends on this device
  std::int64_t device_error = 0;  ///< device_error=N: the device fails in its N-th call
  bool own_memory = false;        ///< memory=own: the host cannot touch it; LibTorch computes there
  std::int64_t most_bytes = 0;    ///< bytes=N: so many are all that LibTorch gets
  bool copy_never = false;        ///< copy=never: copies between host and device never end
  bool abort_hangs = false;       ///< abort=hangs
  std::int64_t delay_us = 0;      ///< delay_us=N: before each call runs
  int devices = 8;                ///< devices=N
  int first = 0;                  ///< first=N: of the host's devices the first that it sees
  bool one_bus = false;           ///< bus=one: all devices are the same
  int nccl = 22809;               ///< nccl=N: version that is loaded
  int driver = 13000;             ///< driver=N
  int runtime = 13000;            ///< runtime=N: version that is loaded
  std::string name = "Made-up GPU";  ///< name=WORDS
  int capability = 90;               ///< capability=N: 90 is 9.0
  bool no_peers = false;             ///< peer=none: no device reaches another's memory
  bool memory_full = false;          ///< memory=full: 64 MiB are left
  bool device_busy = false;          ///< device=busy: another program has it for itself
};

/// Throws: std::invalid_argument naming a word it does not know.
[[nodiscard]] Faults parse_faults(std::string_view words, int rank);

/// Of this process: ATELIER_FAKE_GPU, and the rank that mpirun gave it.
[[nodiscard]] Faults faults_of_this_rank();

}  // namespace atelier::tests
