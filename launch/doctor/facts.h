// All that one rank found about itself and its host, and how every rank gets to know it of all.
// Thread safety: values; `gather` as Comm.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launch/comm/comm.h"
#include "launch/doctor/clock_offset.h"
#include "launch/doctor/folder.h"
#include "launch/doctor/gpu.h"
#include "launch/doctor/memory.h"
#include "launch/doctor/port.h"
#include "launch/doctor/processor.h"

namespace atelier::doctor {

/// What the program is made of; it must be the same on every rank.
struct BuildFacts {
  std::string version = {};
  std::string commit = {};
  std::string mpi = {};
  std::string hdf5 = {};
  std::string torch = {};
  std::string torch_instructions = {};  ///< "AVX512": what LibTorch's own kernels use here
};

/// What sums over all ranks gave; see comm/self_test.h.
struct SumFacts {
  std::string fault = {};  ///< empty: every value was right
  double latency_seconds = 0;
  double bytes_per_second = 0;
  std::uint64_t large_bytes = 0;
  std::vector<std::string> ways = {};  ///< of NCCL's connections; see nccl_log.h
};

struct RankFacts {
  std::string host = {};     ///< name
  std::string machine = {};  ///< equal for ranks whose core numbers mean the same cores
  std::string backend = {};  ///< of the communicator
  int hosts = 1;             ///< of the job
  BuildFacts build = {};
  ProcessorFacts processor = {};
  MemoryFacts memory = {};
  GpuFacts gpu = {};
  PortFacts port = {};
  std::vector<FolderFacts> folders = {};  ///< the same ones, in the same order, on every rank
  SumFacts sums = {};
  ClockOffset clock = {};
};

/// As one JSON document; bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string encode(const RankFacts& facts);

/// Requires: `document` comes from `encode`.
[[nodiscard]] RankFacts decode(std::string_view document);

/// The facts of every rank, by rank. Collective: all ranks. Throws: CommError.
[[nodiscard]] std::vector<RankFacts> gather(comm::Comm& comm, const RankFacts& mine);

}  // namespace atelier::doctor
