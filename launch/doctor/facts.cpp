#include "launch/doctor/facts.h"

#include <algorithm>
#include <cstdint>

#include <nlohmann/json.hpp>

namespace atelier::doctor {

// How the library's to_json and from_json of each type come about; names are those of the members.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BuildFacts, version, commit, mpi, hdf5, torch,
                                   torch_instructions)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SumFacts, fault, latency_seconds, bytes_per_second, large_bytes,
                                   ways)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CpuDescription, model, lists_features, features)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProcessorFacts, cpu, cores, reachable, group_cores)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MemoryFacts, total_bytes, available_bytes, group_limit_bytes,
                                   has_shared, shared_total_bytes, shared_free_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DeviceFacts, index, bus_id, name, capability, total_bytes,
                                   free_bytes, free_known, peers, fault)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GpuFacts, built_with_cuda, driver, driver_cuda, cuda, cuda_built,
                                   nccl, devices, fault, device, each, fabrics)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PortFacts, port, fault)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FolderFacts, role, path, fault, kind, free_bytes, read_bytes,
                                   read_seconds, written_bytes, write_seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ClockOffset, ahead_seconds, error_seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, host, machine, backend, hosts, build, processor,
                                   memory, gpu, port, folders, sums, clock)

std::string encode(const RankFacts& facts) {
  using Json = nlohmann::json;
  return Json(facts).dump(-1, ' ', false, Json::error_handler_t::replace);
}

RankFacts decode(std::string_view document) {
  return nlohmann::json::parse(document).get<RankFacts>();
}

std::vector<RankFacts> gather(comm::Comm& comm, const RankFacts& mine) {
  std::string document = encode(mine);
  const auto world = static_cast<std::size_t>(comm.world());
  const auto size = static_cast<std::int64_t>(document.size());
  std::vector<std::int64_t> sizes(world);
  comm.all_gather({&size, 1, comm::DType::kInt64}, {sizes.data(), world, comm::DType::kInt64},
                  {.label = "sizes of the facts"});
  const auto longest = static_cast<std::size_t>(*std::max_element(sizes.begin(), sizes.end()));
  document.resize(longest);
  std::string all(world * longest, '\0');
  comm.all_gather({document.data(), longest, comm::DType::kUInt8},
                  {all.data(), all.size(), comm::DType::kUInt8}, {.label = "facts"});
  std::vector<RankFacts> facts;
  for (std::size_t rank = 0; rank < world; ++rank) {
    facts.push_back(decode(
        std::string_view(all).substr(rank * longest, static_cast<std::size_t>(sizes[rank]))));
  }
  return facts;
}

}  // namespace atelier::doctor
