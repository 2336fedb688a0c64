#include <nlohmann/json.hpp>
#include <torch/version.h>

#include "launch/base/text.h"
#include "launch/comm/mpi_session.h"
#include "launch/comm/nccl_checks.h"
#include "trainer/app/commands.h"
#include "trainer/app/commit.h"

namespace atelier::app {
monitoring::BuildVersions build_versions() {
  monitoring::BuildVersions versions{.version = ATELIER_VERSION,
                                     .commit = build_commit(),
                                     .torch = TORCH_VERSION,
                                     .nccl = "none",
                                     .mpi = std::string(comm::mpi_version()),
                                     .cuda = "none"};
  if (comm::built_with_cuda()) {
    const comm::DeviceApis apis = comm::make_device_apis();
    versions.nccl = comm::nccl_version(*apis.nccl);
    versions.cuda = comm::cuda_version(*apis.cuda);
  }
  return versions;
}

void add_version(CLI::App& app, Action& chosen) {
  auto json = std::make_shared<bool>(false);
  CLI::App* version = app.add_subcommand("version", "Print versions of the program and libraries");
  version->add_flag("--json", *json, "as one JSON document");
  version->callback([json, &chosen] {
    chosen = [json](Context&) {
      const monitoring::BuildVersions build = build_versions();
      const nlohmann::ordered_json found{{"atelier", build.version}, {"commit", build.commit},
                                         {"libtorch", build.torch},  {"mpi", build.mpi},
                                         {"cuda", build.cuda},       {"nccl", build.nccl}};
      std::string lines;
      for (const auto& [name, value] : found.items()) {
        lines += text(name, " ", value.get<std::string>(), "\n");
      }
      print(*json ? found.dump(2) + "\n" : lines);
      return ExitCode::kDone;
    };
  });
}

}  // namespace atelier::app
