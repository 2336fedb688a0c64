#include <memory>
#include <optional>

#include <torch/torch.h>
#include <torch/version.h>

#include "data/hdf5_api.h"
#include "launch/comm/mpi_session.h"
#include "launch/doctor/examination.h"
#include "monitoring/config.h"
#include "trainer/app/commands.h"
#include "trainer/app/commit.h"

namespace atelier::app {
namespace {

struct Options {
  std::string data;
  std::string run;
  bool json = false;
  std::optional<doctor::NcclLog> nccl_log = {};
};

// Not build_versions(), which asks CUDA and throws: what is wrong with a GPU is to be a finding.
doctor::BuildFacts build_facts() {
  return {.version = ATELIER_VERSION,
          .commit = build_commit(),
          .mpi = std::string(comm::mpi_version()),
          .hdf5 = data::hdf5_version(),
          .torch = TORCH_VERSION,
          .torch_instructions = at::get_cpu_capability()};
}

ExitCode run(const Options& options, Context& context) {
  doctor::ExaminationOptions examination{
      .port = static_cast<int>(monitoring::MonitoringConfig{}.port), .build = build_facts()};
  if (options.nccl_log) examination.nccl_log = &*options.nccl_log;
  if (!options.data.empty()) examination.data = options.data;
  if (!options.run.empty()) examination.run = options.run;
  const doctor::Report report = doctor::examine(context.comm, context.clock, examination);
  if (context.comm.rank() == 0) print(options.json ? to_json(report) : to_page(report));
  const bool refused = gravest(report.findings) == doctor::Status::kProblem;
  return refused ? ExitCode::kRefused : ExitCode::kDone;
}

}  // namespace

void add_doctor(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* doctor = app.add_subcommand(
      "doctor",
      "Examine this machine, or a whole job under mpirun, and say what to do: cores, memory, "
      "GPUs,\n"
      "sums between ranks, clocks, ports, disks. Exit code 78 when training would fail here.\n"
      "  mpirun -n 2 atelier doctor --data photos --run runs/gan");
  doctor->add_option("--data", options->data, "folder of a dataset that training would read");
  doctor->add_option("--run", options->run,
                     "run folder that training would write to; may not exist yet");
  doctor->add_flag("--json", options->json, "as one JSON document, with all facts of each rank");
  doctor->callback([options, &chosen] {
    options->nccl_log.emplace();
    chosen = [options](Context& context) { return run(*options, context); };
  });
}

}  // namespace atelier::app
