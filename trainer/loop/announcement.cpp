#include "trainer/loop/announcement.h"

#include <algorithm>

#include <sched.h>
#include <unistd.h>

#include "launch/base/text.h"

namespace atelier::loop {
namespace {

// Ranks that are bound to nothing share all cores. 0: nobody knows.
int usable_cores(const comm::Comm& comm) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 0;
  const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const int ranks = (comm.world() + comm.hosts() - 1) / comm.hosts();
  return std::min(CPU_COUNT(&mask), std::max(1, online / ranks));
}

std::string counted(int number, const char* what) {
  return text(number, " ", what, number == 1 ? "" : "s");
}

}  // namespace

std::string sums_line(const comm::Comm& comm, const comm::SelfTest& test) {
  return text("Ranks sum ", human_bytes(test.large_bytes), " at ",
              fixed(test.bytes_per_second * 1e-9, 1), " GB/s, one number in ",
              fixed(test.latency_seconds * 1e6, 1), " us (", comm.backend(), ", ",
              counted(comm.hosts(), "host"), ").");
}

RankThreads threads_of(const RunConfig& config, const data::Dataset& dataset, int streams,
                       const comm::Comm& comm) {
  const auto readers = static_cast<int>(config.loading.readers) * streams;
  return {.compute = static_cast<int>(config.train.threads),
          .loading = readers + streams,
          .unpacking = dataset.manifest().packing.varies() ? readers : 0,
          .cores = usable_cores(comm)};
}

std::string training_line(engine::Engine& engine, const std::string& family,
                          const data::Dataset& dataset, int world, const RankThreads& threads) {
  std::string nets;
  for (const auto& net : engine.nets()) {
    nets += text(nets.empty() ? "" : ", ", net->name(), " ", human_count(net->flat().parameters()),
                 " parameters");
  }
  return text("Training ", family, " (", nets, ") on ",
              human_count(static_cast<std::int64_t>(dataset.size(data::Split::kTrain))),
              " images of ", dataset.shape().name(), ", ", counted(world, "rank"), " x ",
              counted(threads.compute, "thread"), " (and ", threads.loading, " that load) on ",
              threads.cores == 0 ? "any cores" : counted(threads.cores, "core"),
              world == 1 ? "" : " each", ", ", engine::name_of(engine.precision()));
}

std::string crowding(const RankThreads& threads) {
  if (threads.unpacking == 0 || threads.cores == 0 ||
      threads.compute + threads.unpacking <= threads.cores)
    return "";
  return text("A rank computes with ", counted(threads.compute, "thread"),
              " and unpacks images with ", threads.unpacking, ", but it may use ",
              counted(threads.cores, "core"),
              ": they take turns. Start fewer ranks on a host, bind each to more cores (mpirun "
              "--map-by slot:PE=N), lower data.readers, or store the images raw.");
}

}  // namespace atelier::loop
