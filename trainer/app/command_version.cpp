#include <nlohmann/json.hpp>
#include <torch/version.h>

#include "launch/base/text.h"
#include "launch/comm/mpi_session.h"
#include "launch/comm/nccl.h"
#include "trainer/app/commands.h"

namespace atelier::app {
namespace {

nlohmann::ordered_json versions() {
  nlohmann::ordered_json json{{"atelier", program_version()},
                              {"libtorch", TORCH_VERSION},
                              {"mpi", comm::mpi_version()},
                              {"cuda", nullptr},
                              {"nccl", nullptr}};
  if (comm::built_with_cuda()) {
    const comm::DeviceApis apis = comm::make_device_apis();
    json["cuda"] = comm::cuda_version(*apis.cuda);
    json["nccl"] = comm::nccl_version(*apis.nccl);
  }
  return json;
}

}  // namespace

std::string program_version() { return ATELIER_VERSION; }

void add_version(CLI::App& app, Action& chosen) {
  auto json = std::make_shared<bool>(false);
  CLI::App* version = app.add_subcommand("version", "Print versions of the program and libraries");
  version->add_flag("--json", *json, "as one JSON document");
  version->callback([json, &chosen] {
    chosen = [json](Context&) {
      const nlohmann::ordered_json found = versions();
      std::string lines;
      for (const auto& [name, value] : found.items()) {
        lines += text(name, " ", value.is_null() ? "not built in" : value.get<std::string>(), "\n");
      }
      print(*json ? found.dump(2) + "\n" : lines);
      return ExitCode::kDone;
    };
  });
}

}  // namespace atelier::app
